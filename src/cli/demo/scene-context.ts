import { BelayError } from "../../base/errors.ts";
import type { JobClient } from "../client/client.ts";
import type { AgentProcess } from "./agent-process.ts";
import type { DemoPrinter } from "./demo-printer.ts";

/** Objects that a scene of the demo uses. */
export interface SceneContext {
  readonly client: JobClient;
  readonly address: string;
  readonly printer: DemoPrinter;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Must be called with each agent that is started, so that it is stopped even if the demo fails. */
  readonly onAgent: (agent: AgentProcess) => void;
}

/** Ends the demo as failed if a condition does not hold. @throws BelayError `INTERNAL` */
export function expectThat(holds: boolean, message: () => string): void {
  if (!holds) throw new BelayError("INTERNAL", `The demo went wrong: ${message()}`);
}

/** Waits for a promise. @throws BelayError `INTERNAL` if the agent fails meanwhile */
export async function underAgent<T>(agent: AgentProcess, promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  const early = agent.ended.then((code) => {
    expectThat(code !== 125 && code !== 64 && code !== -1, () => `the agent failed: ${agent.remarks.trim()}`);
    return promise;
  });
  return Promise.race([promise, early]);
}

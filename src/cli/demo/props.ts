import { BelayError } from "../../base/errors.ts";
import type { JobClient } from "../client/client.ts";
import type { AgentProcess } from "./agent-process.ts";
import type { Stage } from "./stage.ts";

/** What a scene of the demo has at hand. */
export interface Props {
  readonly client: JobClient;
  readonly address: string;
  readonly stage: Stage;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Called with each agent that is started, so that it is stopped whatever happens. */
  readonly enter: (agent: AgentProcess) => void;
}

/** Ends the demo as failed unless something is as it should be. */
export function expectThat(holds: boolean, message: () => string): void {
  if (!holds) throw new BelayError("INTERNAL", `The demo went wrong: ${message()}`);
}

/** Resolves as the promise does, unless the agent ends without the tracker ever hearing of its job. */
export async function underAgent<T>(agent: AgentProcess, promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  const early = agent.ended.then((code) => {
    expectThat(code !== 125 && code !== 64 && code !== -1, () => `the agent failed: ${agent.remarks.trim()}`);
    return promise;
  });
  return Promise.race([promise, early]);
}

import { create } from "@bufbuild/protobuf";
import { onTestFinished } from "vitest";
import type { AgentOptions, AgentOutcome } from "../../src/agent/options.ts";
import { runAgentTimed } from "../../src/agent/run.ts";
import { SESSION_TIMING, type SessionTiming } from "../../src/agent/session/session-timing.ts";
import { JobSpecSchema } from "../../src/gen/belay/v1/job_pb.ts";
import { readLog } from "../../src/testing/index.ts";
import { Queue } from "../helpers/queue.ts";
import type { TestTracker } from "../helpers/tracker.ts";

/** A real agent with a real job, in this process. */
export interface SomeAgent {
  readonly jobId: string;
  readonly outcome: Promise<AgentOutcome>;
  /** Its progress lines. */
  readonly progress: Queue<string>;
  /** Its job's output, as the agent has read it. */
  output(): string;
  /** Resolves when the job's output contains a text. */
  prints(text: string): Promise<void>;
  stop(): void;
}

/** Starts an agent. It is stopped, and awaited, when the test is over. */
export function someAgent(
  tracker: string,
  script: string,
  { timing, ...options }: Partial<AgentOptions> & { timing?: Partial<SessionTiming> } = {},
): SomeAgent {
  const progress = new Queue<string>();
  const stop = new AbortController();
  const pieces: Buffer[] = [];
  let wake: () => void = () => undefined;
  const jobId = options.jobId ?? "j1";
  const agent: AgentOptions = {
    tracker,
    spec: create(JobSpecSchema, { command: ["sh", "-c", script] }),
    flushTimeout: 30_000,
    stopFlushTimeout: 1,
    onProgress: (line) => progress.push(line),
    onOutput: (stream, data) => {
      if (stream === "stdout") pieces.push(Buffer.from(data));
      wake();
    },
    stop: stop.signal,
    stopNow: stop.signal,
    ...options,
    jobId,
  };
  const outcome = runAgentTimed(agent, { ...SESSION_TIMING, ...timing });
  outcome.catch(() => undefined);
  onTestFinished(async () => {
    stop.abort();
    await outcome.catch(() => undefined);
  });
  const output = (): string => Buffer.concat(pieces).toString("latin1");
  return {
    jobId,
    outcome,
    progress,
    output,
    prints: async (text) => {
      while (!output().includes(text)) await new Promise<void>((resolve) => (wake = resolve));
    },
    stop: () => stop.abort(),
  };
}

/** Waits for a progress line that matches; earlier ones are skipped. */
export async function until(lines: Queue<string>, pattern: RegExp): Promise<string> {
  for (;;) {
    const line = await lines.next();
    if (pattern.test(line)) return line;
  }
}

/** Number of bytes of standard output that the tracker lacks, or has with other values. */
export async function bytesLost({ jobs }: TestTracker, agent: SomeAgent): Promise<number> {
  const stored = await readLog(jobs, agent.jobId, { follow: false, stream: "stdout" });
  const written = agent.output();
  if (stored === written) return 0;
  return Math.max(1, written.length - stored.length);
}

/** Script of a job that prints numbers until a file exists, and then prints "counted". */
export function counting(until: string): string {
  return `i=0; while [ ! -e ${until} ]; do i=$((i+1)); echo line $i of the job that counts; sleep 0.01; done; echo counted`;
}

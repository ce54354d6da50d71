import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import type { TestContext } from "vitest";
import type { AgentOutcome } from "../../src/agent/options.ts";
import { runAgent } from "../../src/agent/run.ts";
import { FEATURES } from "../../src/contract/features.ts";
import { healthName } from "../../src/contract/names.ts";
import { type Health, JobSpecSchema, LogStream } from "../../src/gen/belay/v1/job_pb.ts";
import { type Command, CommandSchema } from "../../src/gen/belay/v1/tracker_service_pb.ts";
import { ScriptedTracker } from "../helpers/scripted-tracker.ts";

/** For `expect.poll` of what an agent reports. */
export const eventually: { timeout: number; interval: number } = { timeout: 10_000, interval: 10 };

/** An agent in this process, with a tracker that records what it reports. */
export interface WatchedAgent {
  readonly outcome: Promise<AgentOutcome>;
  /** What was reported of the attempt's health so far. */
  health(): Health[];
  /** The same as names of statuses. */
  names(): string[];
  /** The agent's own part of the job's log. */
  agentLog(): string;
  send(order: NonNullable<MessageInitShape<typeof CommandSchema>["order"]>): void;
}

/** A test that may run at the same time as others. */
export type Context = Pick<TestContext, "expect" | "onTestFinished">;

/**
 * Starts an agent; it is stopped when the test ends.
 *
 * @param welcome what the tracker can do, and milliseconds between heartbeats
 */
export async function watchedAgent(
  { onTestFinished }: Context,
  spec: MessageInitShape<typeof JobSpecSchema>,
  { features = FEATURES, interval = 10_000 }: { features?: typeof FEATURES; interval?: number } = {},
): Promise<WatchedAgent> {
  const tracker = await ScriptedTracker.start();
  const stop = new AbortController();
  const outcome = runAgent({
    tracker: tracker.url,
    jobId: "j1",
    spec: create(JobSpecSchema, { metricsInterval: durationFromMs(0), gracePeriod: durationFromMs(2000), ...spec }),
    connectTimeout: 5000,
    flushTimeout: 5000,
    stop: stop.signal,
  });
  onTestFinished(async () => {
    stop.abort();
    await outcome;
    tracker.close();
  });
  const stream = await tracker.stream();
  stream.welcome({ features: [...features], interval });
  stream.behave();
  const health = (): Health[] =>
    stream.received.flatMap((payload) =>
      payload.case === "event" && payload.value.kind.case === "health" ? [payload.value.kind.value] : [],
    );
  let commands = 0;
  return {
    outcome,
    health,
    names: () => health().map(({ status }) => healthName(status)),
    agentLog: () =>
      stream.received
        .flatMap((payload) => (payload.case === "logBatch" ? payload.value.chunks : []))
        .flatMap(({ stream: from, content }) =>
          from === LogStream.AGENT && content.case === "data" ? [Buffer.from(content.value).toString()] : [],
        )
        .join(""),
    send: (order) => {
      const value: Command = create(CommandSchema, { commandId: `c${++commands}`, order });
      stream.send({ case: "command", value });
    },
  };
}

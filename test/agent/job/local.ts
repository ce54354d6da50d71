import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { END_TIMING, type EndTiming } from "../../../src/agent/job/end/end-timing.ts";
import { startJob } from "../../../src/agent/job/job.ts";
import type { Job, JobHandlers, JobOptions } from "../../../src/agent/job/types.ts";
import type { ContainmentChoice } from "../../../src/agent/options.ts";
import { silentLogger } from "../../../src/base/logger.ts";
import {
  type JobResult,
  JobSpecSchema,
  type JobState,
  JobStateSchema,
  LogStream,
} from "../../../src/gen/belay/v1/job_pb.ts";
import { MODES } from "./driver.ts";

/** Containments that can be tried in this process. */
export const LOCAL_MODES: ContainmentChoice[] = MODES.filter(
  (mode) => mode.uid === undefined && mode.skip === undefined,
).map((mode) => mode.containment);

/** A job run in the test's own process, and all it said. */
export interface LocalJob {
  readonly job: Job;
  /** States, steps and notices in order, as words. */
  readonly events: string[];
  readonly notices: string[];
  readonly stdout: () => Buffer;
  readonly stderr: () => Buffer;
  readonly result: Promise<JobResult>;
}

/** Starts a job. @param timing bounds of its end that differ from the real ones, where a test would wait for those */
export function start(
  spec: MessageInitShape<typeof JobSpecSchema>,
  options: Partial<Omit<JobOptions, "spec">> = {},
  handlers: Partial<JobHandlers> = {},
  timing?: Partial<EndTiming>,
): LocalJob {
  const events: string[] = [];
  const notices: string[] = [];
  const prints: Buffer[] = [];
  const errors: Buffer[] = [];
  const job = startJob(
    {
      jobId: "local",
      attempt: 2,
      spec: create(JobSpecSchema, spec),
      environment: process.env,
      containment: "auto",
      stopBudget: 20_000,
      logger: silentLogger,
      ...options,
    },
    {
      state: (state: JobState) => events.push(JobStateSchema.value[state]?.localName ?? "?"),
      stepStarted: (step) => events.push(`started ${step.step}`),
      stepEnded: (step) => events.push(`ended ${step.step}`),
      notice: (_step, message) => notices.push(message),
      output: (stream, _step, data) => {
        (stream === LogStream.STDERR ? errors : prints).push(Buffer.from(data));
        return true;
      },
      ...handlers,
    },
    timing === undefined ? undefined : { ...END_TIMING, ...timing },
  );
  return {
    job,
    events,
    notices,
    stdout: () => Buffer.concat(prints),
    stderr: () => Buffer.concat(errors),
    result: job.done,
  };
}

import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { Job } from "../../../gen/belay/v1/job_pb.ts";
import { AttemptSchema, JobSchema, JobSpecSchema } from "../../../gen/belay/v1/job_pb.ts";
import { streamTotals } from "../../store/log/totals.ts";
import { SHOWN_COMMANDS } from "../../store/types.ts";
import { boundedAttempts } from "./bounded-attempts.ts";
import { healthOf } from "../health.ts";
import type { LiveJob } from "../live-job.ts";
import { shownOf } from "./shown.ts";

/**
 * A job at this moment, as callers see it: without secrets, with its latest commands, and with what only memory knows
 * of its latest attempt, in at most `MAX_JOB_BYTES`. Shares parts with the job in memory, so it may be sent but not kept.
 */
export function snapshotOf(live: LiveJob): Job {
  const { log, stream, heardAt } = live;
  const { spec, shownSpec: _, ...job } = live.job;
  const attempts = [...job.attempts];
  const last = attempts.pop();
  if (last !== undefined) {
    const health = healthOf(live);
    attempts.push(
      create(AttemptSchema, {
        ...last,
        connected: stream !== undefined,
        ...(health === undefined ? {} : { health }),
        ...(heardAt === 0 ? {} : { lastHeardTime: timestampFromMs(heardAt) }),
        ...(log === undefined ? {} : { stored: streamTotals(log.committed) }),
      }),
    );
  }
  const commands = [...live.commands.values()].slice(-SHOWN_COMMANDS).map(({ record }) => record);
  const shown = shownOf(live.job);
  const rest = create(JobSchema, { ...job, attempts: [], commands });
  const bytes = (): number => toBinary(JobSchema, rest).byteLength + toBinary(JobSpecSchema, shown.spec).byteLength;
  const snapshot = shown.message(JobSchema, create(JobSchema, { ...rest, attempts: boundedAttempts(attempts, bytes) }));
  if (spec !== undefined) snapshot.spec = shown.spec;
  return snapshot;
}

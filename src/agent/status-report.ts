import { create } from "@bufbuild/protobuf";
import { durationFromMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { systemClock as clock } from "../base/clock.ts";
import type { Heartbeat, StatusReport, StreamTotals } from "../gen/belay/v1/job_pb.ts";
import { JobState, StatusReportSchema } from "../gen/belay/v1/job_pb.ts";
import type { Job } from "./job/types.ts";

/** What a status report has that the job does not know. */
export interface StatusFacts {
  readonly heartbeat: Heartbeat;
  readonly streams: StreamTotals[];
}

/** How the job stands, at this moment. Undefined: it has not been started. */
export async function statusReport(job: Job | undefined, facts: () => StatusFacts): Promise<StatusReport> {
  if (job === undefined) return create(StatusReportSchema, { state: JobState.PENDING });
  const [status, metrics] = await Promise.all([job.status(), job.sample()]);
  const { heartbeat, streams } = facts();
  return create(StatusReportSchema, {
    reportTime: timestampFromMs(clock.unixMs()),
    state: status.state,
    step: status.step,
    pid: status.pid,
    stepDuration: durationFromMs(Math.round(status.stepDuration)),
    processes: status.processes,
    processCount: status.processCount,
    ...(metrics !== undefined && { metrics }),
    heartbeat,
    streams,
    endReason: status.endReason,
    agentStartTime: timestampFromMs(Math.round(performance.timeOrigin)),
  });
}

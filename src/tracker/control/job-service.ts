import type { ServiceImpl } from "@connectrpc/connect";
import { LogCompleteness } from "../../gen/belay/v1/job_pb.ts";
import type { JobService } from "../../gen/belay/v1/job_service_pb.ts";
import { noteDamage } from "../jobs/ending.ts";
import type { LiveJob } from "../jobs/live-job.ts";
import { snapshotOf } from "../jobs/shown/snapshot.ts";
import type { ControlContext } from "./context.ts";
import { jobOf } from "./context.ts";
import { createJob } from "./create-job.ts";
import { deleteJob } from "./delete-job.ts";
import { listJobs } from "./list-jobs.ts";
import { cancelJob, pauseJob, resumeJob, signalJob } from "./orders.ts";
import { readLogs } from "./read-logs.ts";
import { readMetrics } from "./read-metrics.ts";
import { getJobStatus } from "./job-status.ts";
import { watchJob, watchJobs } from "./watch.ts";

/** JobService: the calls of platforms and the command line. */
export function jobService(context: ControlContext): ServiceImpl<typeof JobService> {
  return {
    createJob: async (request) => ({ job: await createJob(context, request) }),
    getJob: async (request) => {
      const live = await jobOf(context.registry, request.jobId);
      await noteMissingLogs(context, live);
      return { job: snapshotOf(live) };
    },
    listJobs: (request, call) => listJobs(context, request, call),
    cancelJob: (request, call) => cancelJob(context, request, call),
    signalJob: (request, call) => signalJob(context, request, call),
    pauseJob: (request, call) => pauseJob(context, request, call),
    resumeJob: (request, call) => resumeJob(context, request, call),
    getJobStatus: (request, call) => getJobStatus(context, request, call.signal),
    watchJobs: (request, call) => watchJobs(context, request, call.signal),
    watchJob: (request, call) => watchJob(context, request, call.signal),
    readLogs: (request, call) => readLogs(context, request, call),
    readMetrics: (request, call) => readMetrics(context, request, call.signal),
    deleteJob: (request) => deleteJob(context, request),
  };
}

/** Records that a complete log was removed since. Costs one system call for each attempt. */
async function noteMissingLogs({ registry, store }: ControlContext, live: LiveJob): Promise<void> {
  for (const { attempt, logCompleteness, stored } of live.job.attempts) {
    if (logCompleteness !== LogCompleteness.COMPLETE || stored.every(({ bytes }) => bytes === 0n)) continue;
    if (store.hasLog(live.key, attempt)) continue;
    await noteDamage(registry, live, attempt, "the stored log is missing");
  }
}

import { create } from "@bufbuild/protobuf";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import type {
  WatchJobRequest,
  WatchJobResponse,
  WatchJobsRequest,
  WatchJobsResponse,
} from "../../gen/belay/v1/job_service_pb.ts";
import { WatchJobResponseSchema, WatchJobsResponseSchema } from "../../gen/belay/v1/job_service_pb.ts";
import { Keepalive } from "../../base/network/keepalive.ts";
import { snapshotOf } from "../jobs/shown/snapshot.ts";
import { isOpen } from "../jobs/states.ts";
import type { ControlContext } from "./context.ts";
import { check } from "./context.ts";
import { FollowedJob } from "./followed-job.ts";
import { filterProblem, matches } from "./filter.ts";
import { CallScope, Wakeup } from "../../base/wakeup.ts";

const PAGE = 500;

type Change = NonNullable<MessageInitShape<typeof WatchJobsResponseSchema>["change"]>;

/** Sends a job whenever it changes. Changes that come faster than they are read are sent as one. */
export async function* watchJob(
  context: ControlContext,
  request: WatchJobRequest,
  signal: AbortSignal,
): AsyncGenerator<WatchJobResponse, void> {
  using scope = new CallScope(signal);
  const followed = await FollowedJob.of(context, request.jobId, scope);
  const keepalive = new Keepalive(context.clock, context.keepaliveInterval);
  let seen = request.afterVersion;
  for (;;) {
    const job = snapshotOf(followed.live);
    if (job.version > seen) {
      seen = job.version;
      yield create(WatchJobResponseSchema, { job });
      keepalive.sent();
      scope.check();
      continue;
    }
    if (!isOpen(followed.live.job)) return;
    await followed.next(keepalive);
    if (keepalive.isDue) {
      yield create(WatchJobResponseSchema);
      keepalive.sent();
    }
  }
}

/**
 * Sends jobs as they change. The changes that a slow watcher has not read yet are kept as a set of job ids, so their
 * number is bounded by that of the jobs.
 */
export async function* watchJobs(
  context: ControlContext,
  request: WatchJobsRequest,
  signal: AbortSignal,
): AsyncGenerator<WatchJobsResponse, void> {
  const { registry, changes } = context;
  const { filter } = request;
  check(filterProblem(filter));
  using scope = new CallScope(signal);
  const after = Number(request.afterVersion);
  if (after > changes.version) {
    throw new ConnectError(
      `Version ${after} is newer than this tracker's ${changes.version}: was its data replaced?`,
      Code.Aborted,
    );
  }
  const wakeup = new Wakeup();
  const pending = new Map<string, { version: number; deleted: boolean }>();
  scope.defer(() => wakeup.notify());
  scope.defer(
    changes.onChange(({ jobId, version, keepsVersion, deleted }) => {
      if (keepsVersion) return;
      // Moved to the end, so that the set stays in order of version.
      pending.delete(jobId);
      pending.set(jobId, { version, deleted });
      wakeup.notify();
    }),
  );
  const keepalive = new Keepalive(context.clock, context.keepaliveInterval);
  const reached = changes.version;
  const shown = new Set<string>();
  const changeOf = async (jobId: string, deleted: boolean, resumed: boolean): Promise<Change | undefined> => {
    const live = deleted ? undefined : await registry.find(jobId);
    if (live === undefined) {
      return shown.delete(jobId) || resumed ? { case: "deletedJobId", value: jobId } : undefined;
    }
    if (matches(live.job, filter)) {
      shown.add(jobId);
      return { case: "job", value: snapshotOf(live) };
    }
    return shown.delete(jobId) || resumed ? { case: "leftJobId", value: jobId } : undefined;
  };

  const first = after === 0 ? matching(context, request) : changedAfter(context, after);
  for await (const { jobId, deleted, version } of first) {
    const change = await changeOf(jobId, deleted, after > 0);
    if (change !== undefined) yield answer(version, change);
    scope.check();
  }
  yield answer(reached, { case: "synced", value: true });
  keepalive.sent();
  let seen = reached;
  for (;;) {
    scope.check();
    // Changes of jobs that do not match keep the loop awake, but send nothing.
    if (keepalive.isDue) {
      yield create(WatchJobsResponseSchema, { version: BigInt(seen) });
      keepalive.sent();
    }
    const next = pending.entries().next();
    if (next.done === true) {
      await wakeup.wait(keepalive);
      continue;
    }
    const [jobId, { version, deleted }] = next.value;
    pending.delete(jobId);
    seen = Math.max(seen, version);
    // A watcher that resumed may know jobs that this call has not sent.
    const change = await changeOf(jobId, deleted, after > 0);
    if (change === undefined) continue;
    yield answer(version, change);
    keepalive.sent();
  }
}

interface Found {
  readonly jobId: string;
  readonly deleted: boolean;
  /** The version that the caller has reached with this job. */
  readonly version: number;
}

async function* matching(context: ControlContext, { filter }: WatchJobsRequest): AsyncGenerator<Found, void> {
  let below: number | undefined;
  for (;;) {
    const page = await context.store.list({ filter, below, limit: PAGE });
    // In order of creation, not of change: only when all are sent has the caller seen any version.
    for (const { jobId } of page) yield { jobId, deleted: false, version: 0 };
    below = page.at(-1)?.key;
    if (page.length < PAGE) return;
  }
}

async function* changedAfter(context: ControlContext, after: number): AsyncGenerator<Found, void> {
  let seen = after;
  for (;;) {
    const page = await context.store.changesAfter(seen, PAGE);
    if (page === undefined) {
      throw new ConnectError(`Version ${seen} is too old: start again without a version`, Code.Aborted);
    }
    for (const { jobId, deleted, version } of page) yield { jobId, deleted, version };
    seen = page.at(-1)?.version ?? seen;
    if (page.length < PAGE) return;
  }
}

function answer(version: number, change: Change): WatchJobsResponse {
  return create(WatchJobsResponseSchema, { version: BigInt(version), change });
}

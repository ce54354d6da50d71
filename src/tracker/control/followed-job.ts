import { Code, ConnectError } from "@connectrpc/connect";
import type { LiveJob } from "../jobs/live-job.ts";
import type { JobRegistry } from "../jobs/registry.ts";
import type { ControlContext } from "./context.ts";
import { currentOf, jobOf } from "./context.ts";
import type { Keepalive } from "../../base/network/keepalive.ts";
import type { CallScope } from "../../base/wakeup.ts";
import { Wakeup } from "../../base/wakeup.ts";

/**
 * One job, while a streaming call follows it. Law: a change that is announced while the call is awake ends its next
 * sleep at once.
 */
export class FollowedJob {
  /** Ends the sleep for events that do not change the job, such as a write to its log. */
  readonly wakeup: Wakeup;
  private readonly registry: JobRegistry;
  private readonly scope: CallScope;
  private job: LiveJob;
  private deleted = false;

  private constructor({ registry, changes }: ControlContext, scope: CallScope, job: LiveJob, samples: boolean) {
    this.registry = registry;
    this.scope = scope;
    this.job = job;
    this.wakeup = new Wakeup();
    scope.defer(() => this.wakeup.notify());
    scope.defer(
      changes.onChange(({ jobId, keepsVersion, deleted }) => {
        if (jobId !== job.id || (keepsVersion && !samples)) return;
        this.deleted ||= deleted;
        this.wakeup.notify();
      }),
    );
  }

  /**
   * Follows a job until the call is over.
   *
   * @param samples whether new metrics end the sleep, too
   * @throws ConnectError INVALID_ARGUMENT or NOT_FOUND
   */
  static async of(context: ControlContext, jobId: string, scope: CallScope, samples?: "samples"): Promise<FollowedJob> {
    const job = await jobOf(context.registry, jobId);
    return new FollowedJob(context, scope, job, samples !== undefined);
  }

  /** The job as it was when `next` last returned, and what has changed of it since. */
  get live(): LiveJob {
    return this.job;
  }

  /**
   * Sleeps until something has happened since it last returned, and no longer than until a keepalive is due.
   *
   * @throws ConnectError NOT_FOUND if the job was deleted; the call's own reason if it is over
   */
  async next(keepalive?: Keepalive): Promise<void> {
    await this.wakeup.wait(keepalive);
    this.scope.check();
    if (this.deleted) throw new ConnectError(`Job "${this.job.id}" was deleted`, Code.NotFound);
    this.job = await currentOf(this.registry, this.job);
  }
}

import type { Attempt } from "../../gen/belay/v1/job_pb.ts";
import type { Event } from "../../gen/belay/v1/tracker_service_pb.ts";
import type { StoredCommand } from "../store/types.ts";

/** The parts of a job in memory that have changed, and so must be stored. */
export interface ChangedParts {
  /** Whether the spec has changed, which it does with a new job or a new attempt only. */
  readonly spec?: boolean;
  readonly attempt?: Attempt;
  readonly otherAttempt?: Attempt;
  readonly commands?: readonly StoredCommand[];
  readonly event?: { readonly attempt: number; readonly event: Event };
  /** True: the job keeps its version, as with new metrics; watchers of jobs are not notified. */
  readonly keepsVersion?: boolean;
  /** True: it is small, and is stored even when the disk is full. */
  readonly urgent?: boolean;
  /**
   * True: the job in memory stays as it is although the change could not be stored, since what changed is stored with
   * a later change as well.
   */
  readonly lasting?: boolean;
}

/** Nothing has changed but whether the agent is connected, which only watchers need. */
export const SAME: ChangedParts = { urgent: true, lasting: true };

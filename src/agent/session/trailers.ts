import type { Metadata } from "@grpc/grpc-js";
import { MAX_DURATION_MS } from "../../base/options.ts";
import { JOB_STATE_TRAILER, RETRY_DELAY_TRAILER } from "../../contract/trailers.ts";
import { JobState } from "../../gen/belay/v1/job_pb.ts";

/** What the trailers of a refusal say. */
export interface Trailers {
  /** Milliseconds after which the job's next attempt may start: the agent has come too early. */
  readonly retryDelay?: number;
  /** The state in which the job has ended. */
  readonly jobState?: JobState;
}

/** Reads them. What cannot be read counts as absent: it comes from a newer tracker, or from a proxy. */
export function readTrailers(metadata: Metadata): Trailers {
  const delay = String(metadata.get(RETRY_DELAY_TRAILER)[0] ?? "");
  const state = JobState[String(metadata.get(JOB_STATE_TRAILER)[0] ?? "") as keyof typeof JobState];
  return {
    ...(/^\d{1,15}$/.test(delay) && { retryDelay: Math.min(Number(delay), MAX_DURATION_MS) }),
    ...(typeof state === "number" && { jobState: state }),
  };
}

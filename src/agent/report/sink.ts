import type { LogStream } from "../../gen/belay/v1/job_pb.ts";

/**
 * Accepts bytes of the job's output, which are valid only during the call. The output goes through five of them:
 * `gate.accept` → `redaction.pass` → `limit.pass` → `report.log` → `lane.append`.
 *
 * @returns false when no more should come for now
 */
export type OutputSink = (stream: LogStream, step: number, data: Uint8Array, readUnixNano: bigint) => boolean;

/** What the job's output may have to wait for: the spool, or a program that it is passed on to. */
export interface Backpressure {
  /** Whether no more should come for now. */
  readonly full: boolean;
  /** Called when `full` may have become false. */
  onRoom: () => void;
}

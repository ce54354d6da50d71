import type { LogStream } from "../gen/belay/v1/job_pb.ts";

/**
 * Accepts bytes of the job's output, which are valid only during the call. The output goes through five of them:
 * `gate.accept` (the job's `handlers.output`) → `redaction.pass` → `limit.pass` → `report.log` → `lane.append`.
 *
 * @returns false when no more should come for now
 */
export type OutputSink = (stream: LogStream, step: number, data: Uint8Array, readUnixNano: bigint) => boolean;

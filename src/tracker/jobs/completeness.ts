import { create } from "@bufbuild/protobuf";
import type { JobResult } from "../../gen/belay/v1/job_pb.ts";
import { LogCompleteness } from "../../gen/belay/v1/job_pb.ts";
import type { Receipt } from "../../gen/belay/v1/tracker_service_pb.ts";
import { ReceiptSchema } from "../../gen/belay/v1/tracker_service_pb.ts";
import type { LogTotals } from "../store/log/totals.ts";
import { streamTotals, sumsOf } from "../store/log/totals.ts";
import { streamName } from "../../contract/names.ts";

/** Whether every byte that the result counts is stored, as data or as a gap. */
export function hasAllBytes(result: JobResult, stored: Readonly<LogTotals>): boolean {
  return result.streams.every((total) => BigInt(sumsOf(stored, total.stream)?.bytes ?? 0) >= total.bytes);
}

/**
 * Compares the result's counts of a job's output with the stored log. The agent's own messages are compared only if
 * the result counts them, since the agent may add more of them after the result.
 */
export function judgeLog(result: JobResult, stored: Readonly<LogTotals>): Receipt {
  const problems: string[] = [];
  for (const total of result.streams) {
    const name = streamName(total.stream);
    const sums = sumsOf(stored, total.stream);
    if (sums === undefined) continue;
    if (BigInt(sums.bytes) !== total.bytes) {
      problems.push(`${name}: ${sums.bytes} of ${total.bytes} bytes are stored`);
    } else if (sums.dropped > 0 || total.droppedBytes > 0n) {
      const dropped = Math.max(sums.dropped, Number(total.droppedBytes));
      problems.push(`${name}: ${dropped} of ${total.bytes} bytes were dropped`);
    } else if (sums.crc !== total.crc32) {
      problems.push(`${name}: the checksum of what is stored is ${hex(sums.crc)}, expected ${hex(total.crc32)}`);
    }
  }
  return create(ReceiptSchema, {
    logCompleteness: problems.length === 0 ? LogCompleteness.COMPLETE : LogCompleteness.INCOMPLETE,
    message: problems.join("; "),
    stored: streamTotals(stored),
  });
}

/** The receipt for a log whose file no longer exists. */
export function missingLog(written: Readonly<LogTotals>): Receipt {
  return create(ReceiptSchema, {
    logCompleteness: LogCompleteness.INCOMPLETE,
    message: "the stored log is missing",
    stored: streamTotals(written),
  });
}

function hex(crc: number): string {
  return crc.toString(16).padStart(8, "0");
}

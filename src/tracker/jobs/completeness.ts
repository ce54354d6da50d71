import { create } from "@bufbuild/protobuf";
import type { Attempt, StreamTotals } from "../../gen/belay/v1/job_pb.ts";
import { EndReason, LogCompleteness } from "../../gen/belay/v1/job_pb.ts";
import type { Receipt } from "../../gen/belay/v1/tracker_service_pb.ts";
import { ReceiptSchema } from "../../gen/belay/v1/tracker_service_pb.ts";
import type { LogTotals } from "../store/log/totals.ts";
import { streamTotals, sumsOf } from "../store/log/totals.ts";
import { streamName } from "../../contract/names.ts";

/** What is wrong with the log of an attempt whose agent reported no result. */
export const UNCOUNTED = "the agent was lost: it is not known how much the job printed";

/**
 * Whether an attempt's result says how much the job printed. The one that the tracker makes for an agent that was LOST
 * for too long does not, until the counts have been delivered.
 */
export function isCounted({ superseded, result }: Attempt): boolean {
  if (result === undefined) return false;
  return !superseded || result.reason !== EndReason.AGENT_LOST || result.streams.length > 0;
}

/** Whether every byte that the result counts is stored, as data or as a gap. */
export function hasAllBytes(attempt: Attempt, stored: Readonly<LogTotals>): boolean {
  if (!isCounted(attempt)) return false;
  return countsOf(attempt).every((total) => BigInt(sumsOf(stored, total.stream)?.bytes ?? 0) >= total.bytes);
}

/**
 * Compares the result's counts of a job's output with the stored log. The agent's own messages are compared only if
 * the result counts them, since the agent may add more of them after the result.
 */
export function judgeLog(attempt: Attempt, stored: Readonly<LogTotals>): Receipt {
  const problems = isCounted(attempt) ? [] : [UNCOUNTED];
  for (const total of countsOf(attempt)) {
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

function countsOf({ result }: Attempt): readonly StreamTotals[] {
  return result?.streams ?? [];
}

function hex(crc: number): string {
  return crc.toString(16).padStart(8, "0");
}

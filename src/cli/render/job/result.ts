import { timestampMs } from "@bufbuild/protobuf/wkt";
import { formatDuration } from "../../../contract/durations.ts";
import { formatSize } from "../../../contract/sizes.ts";
import type { EndEvidence, JobResult, SignalRound, StreamTotals } from "../../../gen/belay/v1/job_pb.ts";
import { EndReason, Outcome } from "../../../gen/belay/v1/job_pb.ts";
import { clean } from "../clean.ts";
import { timeBetween } from "../time.ts";
import { containmentName, reasonName, streamName } from "../../../contract/names.ts";
import { counted } from "../../../base/text/count.ts";

/** How a job ended, in a few words: `exit code 3 after 4.2s`. */
export function resultText(result: JobResult): string {
  const took = timeBetween(result.startTime, result.endTime);
  const after = took === "" ? "" : ` after ${took}`;
  const how =
    result.signal !== "" ? clean(result.signal) : result.exitCode === undefined ? "" : `exit code ${result.exitCode}`;
  const reason = SHOWN_OTHERWISE.has(result.reason) ? "" : reasonName(result.reason);
  const parts = [reason, how].filter((part) => part !== "").join(", ");
  return `${parts}${after}`.trim();
}

/** The same in brackets, to follow a state; empty if there is nothing to add. */
export function resultDetail(result: JobResult | undefined): string {
  const text = result === undefined ? "" : resultText(result);
  return text === "" ? "" : ` (${text})`;
}

/** Reasons that add nothing to the exit code, signal or state. */
const SHOWN_OTHERWISE: ReadonlySet<EndReason> = new Set([EndReason.EXITED, EndReason.SIGNALED, EndReason.CANCELED]);

/** Whether the message says more than the exit code does. */
export function deservesMessage(result: JobResult): boolean {
  return result.outcome !== Outcome.SUCCEEDED && result.reason !== EndReason.EXITED && result.message !== "";
}

/** How a job was ended by force, as lines with the time since the request. */
export function evidenceLines(evidence: EndEvidence): string[] {
  const start = evidence.askTime ?? evidence.signals[0]?.sendTime;
  const since = (time: EndEvidence["askTime"]): number =>
    time === undefined || start === undefined ? Number.NaN : timestampMs(time) - timestampMs(start);
  const at = (time: EndEvidence["askTime"]): string => {
    const ms = since(time);
    return (Number.isNaN(ms) ? "" : `${ms < 0 ? "" : "+"}${formatDuration(ms)}`).padStart(8);
  };
  const rounds = groupRounds(evidence.signals);
  const lines = rounds.map(({ first, last, count }) => {
    const processes = counted(first.processes, "process", "processes");
    const times = count === 1 ? "" : `, ${count} times until ${at(last.sendTime).trim()}`;
    return `${at(first.sendTime)}  ${clean(first.signal)} sent to ${processes}${times}`;
  });
  const by = evidence.commandId === "" ? "" : ` by command ${clean(evidence.commandId)}`;
  // The warning of a time-out comes before the end was requested.
  const early = rounds.filter(({ first }) => since(first.sendTime) < 0).length;
  lines.splice(early, 0, `${at(evidence.askTime)}  end requested${by}`);
  if (evidence.treeEmptyTime !== undefined) {
    lines.push(`${at(evidence.treeEmptyTime)}  no process left (${containmentName(evidence.containment)})`);
  }
  for (const survivor of evidence.survivors) {
    lines.push(`${"".padStart(8)}  survived: pid ${survivor.pid}, ${survivor.state}, ${clean(survivor.command)}`);
  }
  if (evidence.outputCut) lines.push(`${"".padStart(8)}  a pipe was still open; output after that is not in the log`);
  return lines;
}

interface Rounds {
  readonly first: SignalRound;
  last: SignalRound;
  count: number;
}

/** Groups rounds of the same signal to the same number of processes: a fork loop needs many rounds. */
function groupRounds(rounds: readonly SignalRound[]): Rounds[] {
  const found: Rounds[] = [];
  for (const round of rounds) {
    const before = found.at(-1);
    if (before !== undefined && before.first.signal === round.signal && before.first.processes === round.processes) {
      before.last = round;
      before.count++;
    } else {
      found.push({ first: round, last: round, count: 1 });
    }
  }
  return found;
}

/** `stdout 34.1 MiB, 5000000 lines`. */
export function totalsText(totals: readonly StreamTotals[]): string {
  return totals
    .filter((one) => one.bytes > 0n)
    .map((one) => {
      const dropped = one.droppedBytes > 0n ? `, ${formatSize(one.droppedBytes)} dropped` : "";
      return `${streamName(one.stream)} ${formatSize(one.bytes)}, ${counted(one.lines, "line")}${dropped}`;
    })
    .join("; ");
}

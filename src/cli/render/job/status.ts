import { formatDuration } from "../../../contract/durations.ts";
import { formatSize } from "../../../contract/sizes.ts";
import { EndReason, type Job, type StatusReport } from "../../../gen/belay/v1/job_pb.ts";
import type { GetJobStatusResponse } from "../../../gen/belay/v1/job_service_pb.ts";
import { clean } from "../clean.ts";
import { healthText, waitText } from "./attempts.ts";
import { resultDetail, totalsText } from "./result.ts";
import { gpuFacts, metricsText } from "../usage.ts";
import { stepName, stepText } from "./step.ts";
import type { Style } from "../style.ts";
import { facts, table } from "../table.ts";
import { ago, msOf } from "../time.ts";
import { reasonName } from "../../../contract/names.ts";
import { isEnded } from "../../../contract/states.ts";

/** The state of a job: the agent's own report, or why it is missing and what the tracker last knew. */
export function statusText(answer: GetJobStatusResponse, style: Style, now: number): string {
  const { job, report, roundTrip } = answer;
  if (job === undefined) return "";
  const attempt = job.attempts.at(-1);
  if (report === undefined) {
    const ended = isEnded(job.state);
    return facts([
      ["Job", style.bold(job.jobId)],
      ["State", `${style.state(job.state)}${ended ? resultDetail(job.result) : ""}`],
      ["Why", clean(job.pendingReason)],
      ["Waits", waitText(job, now)],
      ["Agent", ended ? "" : style.yellow(`no answer: ${clean(answer.message)}`)],
      ["Heard", ago(attempt?.lastHeardTime, now)],
      ["Last known", ended || attempt?.metrics === undefined ? "" : metricsText(attempt.metrics)],
    ]);
  }
  const beat = report.heartbeat;
  const spool = beat === undefined ? 0n : beat.spoolMemoryBytes + beat.spoolDiskBytes;
  const head = facts([
    ["Job", style.bold(job.jobId)],
    ["State", style.state(report.state)],
    ["Health", healthText(attempt, style, now)],
    ["Ending", report.endReason === EndReason.UNSPECIFIED ? "" : reasonName(report.endReason)],
    ["Step", report.step === 0 ? "" : stepFacts(job, report)],
    ["Uses", report.metrics === undefined ? "" : metricsText(report.metrics)],
    ...gpuFacts(report.metrics?.gpus ?? []),
    ["Printed", totalsText(report.streams) || "nothing yet"],
    ["Agent", `answered in ${roundTrip === undefined ? "?" : formatDuration(msOf(roundTrip))}${agentText(beat)}`],
    ["Waiting", spool === 0n ? "" : `${formatSize(spool)} not yet confirmed by the tracker`],
  ]);
  if (report.processes.length === 0) return head;
  const rows = report.processes.map((one) => [
    String(one.pid),
    one.state,
    `${one.cpuSeconds.toFixed(1)}s`,
    formatSize(one.memoryBytes).replace(" ", ""),
    clean(one.command),
  ]);
  const more = report.processCount - report.processes.length;
  return `${head}\n${table(["PID", "STATE", "CPU", "MEMORY", "COMMAND"], rows)}${more > 0 ? `and ${more} more\n` : ""}`;
}

function stepFacts(job: Job, { step, pid, stepDuration }: StatusReport): string {
  const what = stepText(job, step);
  const process = pid === 0 ? "" : `, pid ${pid}`;
  const time = stepDuration === undefined ? "" : `, for ${formatDuration(msOf(stepDuration))}`;
  return `${what === "" ? step : `${what} (${stepName(job, step)})`}${process}${time}`;
}

function agentText(beat: { agentMemoryBytes: bigint; streams: number } | undefined): string {
  if (beat === undefined) return "";
  const streams = beat.streams > 1 ? `, ${beat.streams} connections so far` : "";
  return `, using ${formatSize(beat.agentMemoryBytes)}${streams}`;
}

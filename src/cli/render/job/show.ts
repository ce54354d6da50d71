import { equals } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { formatDuration } from "../../../contract/durations.ts";
import { formatSize } from "../../../contract/sizes.ts";
import { parseTraceParent } from "../../../base/trace-context.ts";
import type { Attempt, CommandRecord, Job, JobSpec, Progress } from "../../../gen/belay/v1/job_pb.ts";
import type { Containment } from "../../../gen/belay/v1/job_pb.ts";
import { CommandKind, CommandState, JobResultSchema, LogCompleteness } from "../../../gen/belay/v1/job_pb.ts";
import { afterStepLines } from "./after-steps.ts";
import { clean } from "../clean.ts";
import { cardFacts, tailText } from "./failure-card.ts";
import {
  attemptTitle,
  classText,
  healthText,
  isOver,
  retryText,
  stallText,
  waitText,
  warningText,
} from "./attempts.ts";
import { evidenceLines, resultDetail, resultText, totalsText } from "./result.ts";
import { stepName, stepText } from "./step.ts";
import type { Style } from "../style.ts";
import { facts } from "../table.ts";
import { ago, isoTime, msOf, timeBetween } from "../time.ts";
import { gpuFacts, metricsText, usageText } from "../usage.ts";
import { containmentName } from "../../../contract/names.ts";

/** Everything known about a job, for a user. */
export function showText(job: Job, style: Style, now: number): string {
  const spec = job.spec;
  const head = facts([
    ["Job", style.bold(job.jobId)],
    ["Name", clean(spec?.name ?? "")],
    ["State", `${style.state(job.state)}${stateDetail(job)}`],
    ["Why", clean(job.pendingReason === "" ? ownMessage(job) : job.pendingReason)],
    ["Waits", waitText(job, now)],
    ["Health", healthText(job.attempts.at(-1), style, now)],
    ["Command", spec === undefined ? "" : commandText(spec.command)],
    ["Setup", spec?.setup.map((step) => clean(step.name === "" ? step.run : step.name)).join("; ") ?? ""],
    ["After", spec?.after.map((step) => clean(step.name === "" ? step.run : step.name)).join("; ") ?? ""],
    ["Directory", clean(spec?.workingDirectory ?? "")],
    ["Labels", pairsText(spec?.labels ?? {})],
    ["Limits", spec === undefined ? "" : limitsText(spec)],
    ["Retries", spec === undefined ? "" : retryText(spec)],
    ["Warning", spec === undefined ? "" : warningText(spec)],
    ["Stalled", spec === undefined ? "" : stallText(spec)],
    ["Trace", parseTraceParent(job.traceParent)?.traceId ?? ""],
    ["Created", timeText(job.createTime, now)],
    ["Started", timeText(job.startTime, now)],
    ["Ended", timeText(job.endTime, now)],
  ]);
  const attempts = job.attempts.map((attempt) => attemptText(attempt, job, style, now)).join("");
  const commands = job.commands.length === 0 ? "" : `\nCommands\n${job.commands.map(commandLine).join("")}`;
  return head + attempts + commands;
}

/** Program and arguments, quoted for a shell. */
export function commandText(command: readonly string[]): string {
  return clean(
    command.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`)).join(" "),
  );
}

/** `42 %, epoch 3/10 (12s ago)`. */
function progressText({ fraction, note, readUnixNano }: Progress, now: number): string {
  const reported = ago(timestampFromMs(Number(readUnixNano / 1_000_000n)), now);
  const percent = (fraction * 100).toFixed(1).replace(/\.0$/, "");
  return `${percent} %${note === "" ? "" : `, ${clean(note)}`} (${reported})`;
}

/** Why the job ended, where that is not how its latest attempt ended: it was canceled, or given up, while it waited. */
function ownMessage({ result, attempts }: Job): string {
  const last = attempts.at(-1)?.result;
  if (result === undefined || (last !== undefined && equals(JobResultSchema, result, last))) return "";
  return result.message;
}

function stateDetail(job: Job): string {
  if (job.result !== undefined) return resultDetail(job.result);
  const step = stepText(job, job.step);
  return step === "" ? "" : ` (${step}: ${stepName(job, job.step)})`;
}

/** A LOST job's attempt may be over without another one. */
function isSuperseded(attempt: Attempt, { attempts }: Job): boolean {
  return attempt.superseded && attempt !== attempts.at(-1);
}

function attemptText(attempt: Attempt, job: Job, style: Style, now: number): string {
  const { agent, result, heartbeat } = attempt;
  const over = isOver(attempt, job);
  const heard = ago(attempt.lastHeardTime, now);
  const line = attempt.connected ? style.green("connected") : over ? "gone" : style.yellow("not connected");
  const streams = result?.streams.length ? result.streams : attempt.stored;
  const usage = result?.usage;
  return `\n${attemptTitle(attempt.attempt, job)}${isSuperseded(attempt, job) ? style.yellow(" (superseded)") : ""}\n${facts(
    [
      [
        "Agent",
        agent === undefined
          ? ""
          : `${clean(agent.hostname)}, pid ${agent.pid}, belay ${clean(agent.version)}, ${clean(agent.os)}/${clean(agent.arch)}`,
      ],
      ["Connection", heard === "" ? line : `${line}, last heard ${heard}`],
      ["Contained", agent === undefined ? "" : containment(agent.containment, agent.containmentMessage)],
      ["Result", result === undefined ? "" : resultText(result)],
      ["Class", result === undefined ? "" : classText(result)],
      ["Message", clean(result?.message ?? "")],
      ...(result?.card === undefined ? [] : cardFacts(result.card)),
      ["Used", usage === undefined ? "" : usageText(usage)],
      ["Progress", attempt.progress === undefined ? "" : progressText(attempt.progress, now)],
      ["Now", over || attempt.metrics === undefined ? "" : metricsText(attempt.metrics)],
      ...(over ? [] : gpuFacts(attempt.metrics?.gpus ?? [])),
      [
        "Waiting",
        over || heartbeat === undefined
          ? ""
          : `${formatSize(heartbeat.spoolMemoryBytes + heartbeat.spoolDiskBytes)} in the agent's spool`,
      ],
      ["Log", `${totalsText(streams) || "empty"}${completeness(attempt, style)}`],
    ],
    "  ",
  )}${
    result?.evidence === undefined
      ? ""
      : `  Evidence\n${evidenceLines(result.evidence)
          .map((text) => `  ${text}\n`)
          .join("")}`
  }${result?.card === undefined ? "" : tailText(result.card, "  ")}${block(
    "Steps after the end",
    result === undefined ? [] : afterStepLines(result),
  )}`;
}

function block(title: string, lines: readonly string[]): string {
  return lines.length === 0 ? "" : `  ${title}\n${lines.map((text) => `    ${text}\n`).join("")}`;
}

function containment(kind: Containment, message: string): string {
  const name = kind === 0 ? "" : containmentName(kind);
  return message === "" ? name : `${name} (${clean(message)})`;
}

function completeness(attempt: Attempt, style: Style): string {
  if (attempt.logCompleteness === LogCompleteness.COMPLETE) return `, ${style.green("complete")}`;
  if (attempt.logCompleteness === LogCompleteness.INCOMPLETE) {
    return `, ${style.red("INCOMPLETE")}: ${clean(attempt.logMessage)}`;
  }
  return "";
}

function limitsText(spec: JobSpec): string {
  const entries = [
    spec.timeout === undefined ? "" : `timeout ${formatDuration(msOf(spec.timeout))}`,
    spec.setupTimeout === undefined ? "" : `setup timeout ${formatDuration(msOf(spec.setupTimeout))}`,
    spec.gracePeriod === undefined ? "" : `grace ${formatDuration(msOf(spec.gracePeriod))}`,
    spec.memoryLimitBytes === 0n ? "" : `memory ${formatSize(spec.memoryLimitBytes)}`,
    spec.logLimitBytes === 0n ? "" : `log ${formatSize(spec.logLimitBytes)}`,
  ];
  return entries.filter((entry) => entry !== "").join(", ");
}

function commandLine(record: CommandRecord): string {
  const name = (names: Readonly<Record<string, number>>, value: number): string =>
    Object.keys(names).find((key) => names[key] === value) ?? String(value);
  const took = timeBetween(record.issueTime, record.updateTime);
  const why = [record.reason, record.message].filter((text) => text !== "").map(clean);
  const words = [
    `  ${isoTime(record.issueTime)}`,
    name(CommandKind, record.kind).toLowerCase(),
    name(CommandState, record.state),
    record.state === CommandState.QUEUED ? "" : `in ${took}`,
    record.principal === "" ? "" : `by ${clean(record.principal)}`,
    ...why,
  ];
  return `${words.filter((word) => word !== "").join("  ")}\n`;
}

function timeText(time: Job["createTime"], now: number): string {
  return time === undefined ? "" : `${isoTime(time)} (${ago(time, now)})`;
}

function pairsText(pairs: Readonly<Record<string, string>>): string {
  return clean(
    Object.entries(pairs)
      .map(([key, value]) => `${key}=${value}`)
      .join(", "),
  );
}

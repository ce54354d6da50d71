import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { Attempt, Job, MetricSample } from "../../gen/belay/v1/job_pb.ts";
import { JobState, LogStream } from "../../gen/belay/v1/job_pb.ts";
import { clean } from "../render/clean.ts";
import { resultText } from "../render/job/result.ts";
import { commandText } from "../render/job/show.ts";
import { stepName, stepText } from "../render/job/step.ts";
import type { ProgressPoint } from "../render/time-left.ts";
import { attemptCount, betweenText, isUnwell } from "../render/job/attempts.ts";
import { healthName } from "../../contract/names.ts";
import { isEnded } from "../../contract/states.ts";

/** Most points of progress that are kept to estimate the time left. */
const MAX_POINTS = 32;
/** Most characters that are kept of any text of a job. */
const MAX_TEXT = 256;

/** The facts about a job that the table needs; the job itself may be a hundred times larger. Texts are clean. */
export interface JobRow {
  readonly jobId: string;
  readonly name: string;
  readonly state: JobState;
  readonly labels: Readonly<Record<string, string>>;
  /** Version of the job from which the row was made. */
  readonly version: bigint;
  readonly createMs: number;
  readonly startMs: number | undefined;
  readonly endMs: number | undefined;
  readonly host: string;
  /** 0: no agent has had the job. */
  readonly attempt: number;
  /** The attempt, and of how many: `2/5`. Empty: there is one only, and may be no other. */
  readonly attempts: string;
  readonly connected: boolean;
  /** When the tracker last received a message from the agent, by the tracker's clock. */
  readonly heardMs: number | undefined;
  readonly cpuCores: number | undefined;
  /** 0: not known. */
  readonly cpuLimit: number;
  readonly memoryBytes: number | undefined;
  /** 0: no limit. */
  readonly memoryLimit: number;
  readonly gpu: Gpu | undefined;
  readonly progress: { readonly fraction: number; readonly note: string } | undefined;
  readonly points: readonly ProgressPoint[];
  /** Bytes stored of each stream of the job. */
  readonly output: PrintedBytes;
  /** How the job ended, why it does not run, or what is wrong with it. May be empty. */
  readonly remark: string;
  /** Whether something is wrong with the attempt that runs. */
  readonly unwell: boolean;
}

/** Graphics processors of a job's machine. */
export interface Gpu {
  readonly count: number;
  /** Mean of the devices that report it, 0 to 1. */
  readonly utilization: number | undefined;
  readonly memoryBytes: number;
}

/** How much a job has written. */
export interface PrintedBytes {
  readonly stdout: number;
  readonly stderr: number;
}

/** States in which no agent is known to run the job. */
const IDLE: ReadonlySet<JobState> = new Set([JobState.PENDING, JobState.LOST]);

/** Makes the row of a job. @param before its last row: progress is compared over time */
export function rowOf(job: Job, before: JobRow | undefined): JobRow {
  const attempt = job.attempts.at(-1);
  // The last sample of an attempt that is lost or over does not show what the job uses now.
  const sample = isEnded(job.state) || IDLE.has(job.state) ? undefined : attempt?.metrics;
  const sameAttempt = before?.attempt === (attempt?.attempt ?? 0);
  return {
    jobId: job.jobId,
    name: short(nameOf(job)),
    state: job.state,
    labels: job.spec?.labels ?? {},
    version: job.version,
    createMs: msOf(job.createTime) ?? 0,
    startMs: msOf(job.startTime),
    endMs: msOf(job.endTime),
    host: short(clean(attempt?.agent?.hostname ?? "")),
    attempt: attempt?.attempt ?? 0,
    attempts: ["0", "1"].includes(attemptCount(job)) ? "" : attemptCount(job),
    connected: attempt?.connected ?? false,
    heardMs: msOf(attempt?.lastHeardTime),
    cpuCores: sample?.cpuCores,
    cpuLimit: sample?.cpuLimitCores ?? 0,
    memoryBytes: sample === undefined ? undefined : Number(sample.memoryBytes),
    memoryLimit: Number(sample?.memoryLimitBytes ?? 0n),
    // Not every sample has a reading of GPUs: the last reading counts.
    gpu: gpuOf(sample) ?? (sample !== undefined && sameAttempt ? before?.gpu : undefined),
    progress: progressOf(attempt),
    points: pointsOf(job, attempt, sameAttempt ? (before?.points ?? []) : []),
    output: { stdout: storedOf(attempt, LogStream.STDOUT), stderr: storedOf(attempt, LogStream.STDERR) },
    remark: short(remarkOf(job)),
    unwell: isUnwell(attempt) && !isEnded(job.state),
  };
}

function nameOf(job: Job): string {
  const name = job.spec?.name ?? "";
  return name === "" ? commandText((job.spec?.command ?? []).slice(0, 16)) : clean(name);
}

function gpuOf(sample: MetricSample | undefined): Gpu | undefined {
  const gpus = sample?.gpus ?? [];
  if (gpus.length === 0) return undefined;
  const busy = gpus.flatMap(({ utilization }) => (utilization === undefined ? [] : [utilization]));
  return {
    count: gpus.length,
    utilization: busy.length === 0 ? undefined : busy.reduce((a, b) => a + b, 0) / busy.length,
    memoryBytes: gpus.reduce((sum, { memoryUsedBytes }) => sum + Number(memoryUsedBytes), 0),
  };
}

function progressOf(attempt: Attempt | undefined): JobRow["progress"] {
  const progress = attempt?.progress;
  return progress === undefined ? undefined : { fraction: progress.fraction, note: short(clean(progress.note)) };
}

/** Points by the agent's clock. The start of the job counts as one, so that one report is enough for an estimate. */
function pointsOf(job: Job, attempt: Attempt | undefined, before: readonly ProgressPoint[]): readonly ProgressPoint[] {
  const progress = attempt?.progress;
  if (progress === undefined) return before;
  const atMs = Number(progress.readUnixNano / 1_000_000n);
  const last = before.at(-1);
  if (last !== undefined && last.atMs >= atMs) return before;
  const startMs = msOf(job.startTime);
  const start = before.length > 0 || startMs === undefined || startMs >= atMs ? [] : [{ atMs: startMs, fraction: 0 }];
  return [...start, ...before.slice(1 - MAX_POINTS), { atMs, fraction: progress.fraction }];
}

function storedOf(attempt: Attempt | undefined, stream: LogStream): number {
  return Number(attempt?.stored.find((totals) => totals.stream === stream)?.bytes ?? 0n);
}

function remarkOf(job: Job): string {
  const attempt = job.attempts.at(-1);
  if (job.result !== undefined) return resultText(job.result);
  if (job.state === JobState.PENDING) return betweenText(job) || "waits for an agent";
  if (job.state === JobState.LOST) return "agent not responding";
  const { status, message } = attempt?.health ?? {};
  if (isUnwell(attempt) && status !== undefined) return `${healthName(status)}: ${clean(message ?? "")}`;
  const step = stepText(job, job.step);
  return step === "" ? "" : `${step}: ${short(stepName(job, job.step))}`;
}

function msOf(time: Job["createTime"]): number | undefined {
  return time === undefined ? undefined : timestampMs(time);
}

function short(text: string): string {
  return text.length > MAX_TEXT ? text.slice(0, MAX_TEXT) : text;
}

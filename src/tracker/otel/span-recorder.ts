import type { Clock } from "../../base/clock.ts";
import type { TraceParent } from "../../base/trace-context.ts";
import { parseTraceParent } from "../../base/trace-context.ts";
import type { Attempt, Job, JobResult } from "../../gen/belay/v1/job_pb.ts";
import { JobState, Outcome } from "../../gen/belay/v1/job_pb.ts";
import type { Event, StepStarted } from "../../gen/belay/v1/tracker_service_pb.ts";
import type { LiveJob } from "../jobs/live-job.ts";
import type { Touched } from "../jobs/registry.ts";
import { isEnded } from "../jobs/states.ts";
import { spanBelow, submitterOf } from "../jobs/trace.ts";
import type { TraceChange } from "../store/types.ts";
import {
  attemptAttributes,
  commandAttributes,
  errorOf,
  jobAttributes,
  jobName,
  shortArguments,
  stepAttributes,
  stepEndAttributes,
} from "./attributes.ts";
import type { Moments, Notes } from "./notes.ts";
import { addMoment, beginNotes, noMoments } from "./notes.ts";
import type { SpanRecord, Time } from "./span-record.ts";
import { later, timeOf, timeOfNano } from "./span-record.ts";

/**
 * Makes spans of what happens to jobs: one for the job, in it one for each attempt, in that one for each step.
 *
 * Law: each span is made once, in the change that ends it, and is stored with that change. Ids follow from the job's own
 * span (`jobs/trace.ts`), so that whoever was started under one finds it again.
 */
export class SpanRecorder {
  private readonly clock: Clock;
  /** "over": all spans of the job are made. */
  private readonly notes = new WeakMap<LiveJob, Notes | "over">();

  constructor(clock: Clock) {
    this.clock = clock;
  }

  /** Looks at a job as it was found at the tracker's start. */
  adopt(live: LiveJob): void {
    if (!isEnded(live.job.state)) this.notesOf(live);
  }

  /** See `Recorder`. */
  record(live: LiveJob, touched: Touched): TraceChange | undefined {
    const span = touched.quiet === true ? undefined : parseTraceParent(live.job.traceParent);
    // Whoever began the trace does not have it recorded.
    if (span?.sampled !== true) return undefined;
    const notes = this.notesOf(live);
    if (notes === "over") return undefined;
    const before = JSON.stringify(notes);
    const ended = new Change(live.job, span, notes, timeOfNano(this.clock.unixNano())).apply(touched);
    const over = isEnded(live.job.state);
    if (over) this.notes.set(live, "over");
    const after = JSON.stringify(notes);
    if (!over && after === before && ended.length === 0) return undefined;
    return { notes: over ? "" : after, ended: ended.map((record) => JSON.stringify(record)) };
  }

  private notesOf(live: LiveJob): Notes | "over" {
    let notes = this.notes.get(live);
    if (notes !== undefined) return notes;
    if (live.traceNotes !== "") notes = JSON.parse(live.traceNotes) as Notes;
    else notes = isEnded(live.job.state) ? "over" : beginNotes(live.job);
    this.notes.set(live, notes);
    return notes;
  }
}

const SUPERSEDED = "Another attempt has taken over";

/** One change of one job. */
class Change {
  private readonly job: Job;
  private readonly span: TraceParent;
  private readonly notes: Notes;
  private readonly now: Time;
  private readonly ended: SpanRecord[] = [];

  constructor(job: Job, span: TraceParent, notes: Notes, now: Time) {
    this.job = job;
    this.span = span;
    this.notes = notes;
    this.now = now;
  }

  /** @returns the spans that are over with it, inner ones first */
  apply({ event, commands }: Touched): SpanRecord[] {
    const { job, notes, now } = this;
    this.takeAttempts();
    if (event !== undefined) this.takeEvent(event.event);
    for (const { record } of commands ?? []) {
      const time = record.updateTime === undefined ? now : timeOf(record.updateTime);
      addMoment(this.innermost, { name: "belay.command", time, attributes: commandAttributes(record) });
    }
    const latest = job.attempts.at(-1);
    if (latest?.result !== undefined && notes.closed < notes.begun) this.closeAttempt(latest, latest.result);
    this.takeState();
    if (isEnded(job.state)) this.closeJob();
    return this.ended;
  }

  /** Where a moment belongs: to the attempt that runs, else to the job. */
  private get innermost(): Moments {
    return this.notes.closed < this.notes.begun ? this.notes.attempt : this.notes.job;
  }

  private takeAttempts(): void {
    const { job, notes, now } = this;
    for (const attempt of job.attempts.slice(notes.begun)) {
      const before = job.attempts.find(({ attempt: number }) => number === notes.begun);
      if (before !== undefined && notes.closed < notes.begun) {
        addMoment(notes.attempt, { name: "belay.superseded", time: now, attributes: {} });
        this.closeAttempt(before, undefined);
      }
      notes.begun = attempt.attempt;
      notes.attempt = noMoments();
      const time = attempt.createTime === undefined ? now : timeOf(attempt.createTime);
      addMoment(notes.job, { name: "belay.assigned", time, attributes: { "belay.attempt": attempt.attempt } });
    }
  }

  private takeEvent({ kind, eventTime }: Event): void {
    const time = eventTime === undefined ? this.now : timeOf(eventTime);
    if (kind.case === "stepStarted") this.startStep(kind.value, time);
    else if (kind.case === "stepEnded" && this.notes.step?.step === kind.value.step) this.endStep(kind.value, time);
  }

  private startStep({ step, name, argv, pid, main }: StepStarted, start: Time): void {
    this.notes.step = { step, name, argv: shortArguments(argv), pid, main, start };
  }

  private endStep(
    { exitCode, signal }: { readonly exitCode?: number | undefined; readonly signal: string },
    time: Time,
    lost?: string,
  ): void {
    const { job, span, notes } = this;
    const { step } = notes;
    if (step === undefined) return;
    delete notes.step;
    const how = signal === "" ? `Exited with code ${exitCode ?? "unknown"}` : `Ended by ${signal}`;
    const error = lost ?? (exitCode === 0 ? undefined : how);
    this.put({
      span: spanBelow(span, notes.begun, step.step),
      parentId: spanBelow(span, notes.begun).spanId,
      kind: "internal",
      name: `step ${step.name === "" ? step.step : step.name}`,
      start: step.start,
      end: time,
      attributes: {
        ...stepAttributes(job, notes.begun, step),
        ...(lost === undefined ? stepEndAttributes(exitCode, signal) : { "cicd.pipeline.task.run.result": "error" }),
      },
      ok: error === undefined,
      ...(error === undefined ? {} : { error }),
    });
  }

  private takeState(): void {
    const { job, notes, now } = this;
    const { state } = notes;
    notes.state = job.state;
    if (job.state === state || isEnded(job.state)) return;
    const tell = (name: string): void => addMoment(this.innermost, { name, time: now, attributes: {} });
    if (job.state === JobState.LOST) return tell("belay.lost");
    if (state === JobState.LOST) tell("belay.back");
    if (job.state === JobState.PAUSED) tell("belay.paused");
    else if (state === JobState.PAUSED && job.state === JobState.RUNNING) tell("belay.resumed");
    else if (job.state === JobState.CANCELING) tell("belay.canceling");
  }

  /** @param result undefined: another attempt has taken over, and nobody knows how this one ended */
  private closeAttempt(attempt: Attempt, result: JobResult | undefined): void {
    const { job, span, notes, now } = this;
    const end = result?.endTime === undefined ? now : timeOf(result.endTime);
    if (result !== undefined && result.step === notes.step?.step) this.endStep(result, end);
    else this.endStep({ signal: "" }, end, result === undefined ? SUPERSEDED : errorOf(result));
    notes.closed = notes.begun;
    const { attempt: number } = attempt;
    this.put({
      span: spanBelow(span, number),
      parentId: span.spanId,
      kind: "internal",
      name: `attempt ${number}`,
      start: attempt.createTime === undefined ? now : timeOf(attempt.createTime),
      end,
      attributes: attemptAttributes(job, attempt),
      moments: notes.attempt,
      links: number > 1 ? [spanBelow(span, number - 1)] : [],
      ...statusOf(result, SUPERSEDED),
    });
  }

  private closeJob(): void {
    const { job, span, now, notes } = this;
    const submitter = submitterOf(job.spec);
    // An agent's own spec may name another span than the one with which the job was recorded.
    const parent = submitter?.traceId === span.traceId ? submitter : undefined;
    this.put({
      span,
      ...(parent === undefined ? {} : { parentId: parent.spanId, remoteParent: true }),
      kind: "server",
      name: `job ${jobName(job)}`,
      start: job.createTime === undefined ? now : timeOf(job.createTime),
      end: job.endTime === undefined ? now : timeOf(job.endTime),
      attributes: jobAttributes(job),
      moments: notes.job,
      links: submitter === undefined || parent !== undefined ? [] : [submitter],
      ...statusOf(job.result, "Nobody knows how it ended"),
    });
  }

  private put({
    moments,
    ...span
  }: Omit<SpanRecord, Filled> &
    Partial<Pick<SpanRecord, "remoteParent" | "links">> & {
      moments?: Moments;
    }): void {
    const { traceParent = "", traceState = "" } = this.job.spec ?? {};
    const goesOn = parseTraceParent(traceParent)?.traceId === this.span.traceId;
    this.ended.push({
      remoteParent: false,
      links: [],
      ...span,
      traceState: goesOn ? traceState : "",
      end: later(span.end, span.start),
      moments: moments?.kept ?? [],
      leftOut: moments?.leftOut ?? 0,
    });
  }
}

type Filled = "remoteParent" | "traceState" | "moments" | "leftOut" | "links";

/** A job that was ended on someone's order has neither failed nor succeeded. */
function statusOf(result: JobResult | undefined, unknown: string): { ok: boolean; error?: string } {
  if (result === undefined) return { ok: false, error: unknown };
  if (result.outcome === Outcome.SUCCEEDED) return { ok: true };
  return result.outcome === Outcome.CANCELED ? { ok: false } : { ok: false, error: errorOf(result) };
}

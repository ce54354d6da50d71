import type { Clock } from "../../base/clock.ts";
import type { TraceParent } from "../../base/trace-context.ts";
import { parseTraceParent } from "../../base/trace-context.ts";
import type { Attempt, Job } from "../../gen/belay/v1/job_pb.ts";
import { JobState } from "../../gen/belay/v1/job_pb.ts";
import type { Event } from "../../gen/belay/v1/tracker_service_pb.ts";
import type { LiveJob } from "../jobs/live-job.ts";
import { shownOf } from "../jobs/shown/shown.ts";
import type { ChangedParts } from "../jobs/changed-parts.ts";
import type { TraceChange } from "../store/trace-change.ts";
import { commandAttributes, shortArguments } from "./attributes.ts";
import type { Moments, Notes } from "./notes.ts";
import { addMoment, beginNotes, noMoments } from "./notes.ts";
import type { SpanRecord, Time } from "./span-record.ts";
import { timeOf, timeOfNano } from "./span-record.ts";
import { attemptSpan, jobSpan, lastStepEnd, stepSpan } from "./spans.ts";
import type { StepEnd } from "./spans.ts";
import { isEnded } from "../../contract/states.ts";

/** What a span is known by. */
const IDENTITIES: ReadonlySet<string> = new Set([
  "traceId",
  "spanId",
  "parentId",
  "belay.job.id",
  "cicd.pipeline.run.id",
]);

/**
 * Records jobs as spans: one for the job, in it one for each attempt, and in that one for each step.
 *
 * Law: each span is made once, in the change that ends it, and is stored with that change. Ids are derived from the
 * job's own span (`jobs/trace.ts`), so that a process that was given such a span as its parent finds it in the trace.
 */
export class SpanRecorder {
  private readonly clock: Clock;
  /** "over": all spans of the job have been made. */
  private readonly notes = new WeakMap<LiveJob, Notes | "over">();

  constructor(clock: Clock) {
    this.clock = clock;
  }

  /** Registers a job that the tracker found when it started. */
  adopt(live: LiveJob): void {
    if (!isEnded(live.job.state)) this.notesOf(live);
  }

  /** See `Recorder`. */
  record(live: LiveJob, parts: ChangedParts): TraceChange | undefined {
    const span = parts.keepsVersion === true ? undefined : parseTraceParent(live.job.traceParent);
    // The trace is not recorded: its first span has the flag "not sampled".
    if (span?.sampled !== true) return undefined;
    const notes = this.notesOf(live);
    if (notes === "over") return undefined;
    const before = JSON.stringify(notes);
    const shown = shownOf(live.job);
    const job = { ...live.job, spec: shown.spec };
    const ended = new Change(job, span, notes, timeOfNano(this.clock.unixNano())).apply(parts);
    const over = isEnded(live.job.state);
    if (over) this.notes.set(live, "over");
    const after = JSON.stringify(notes);
    if (!over && after === before && ended.length === 0) return undefined;
    const masked = (key: string, value: unknown): unknown =>
      typeof value === "string" && !IDENTITIES.has(key) ? shown.text(value) : value;
    return { notes: over ? "" : after, ended: ended.map((record) => JSON.stringify(record, masked)) };
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

  /** @returns the spans that this change ends, inner ones first */
  apply({ event, commands }: ChangedParts): SpanRecord[] {
    const { job, notes, now } = this;
    this.applyAttempts();
    if (event !== undefined) this.applyEvent(event.event);
    for (const { record } of commands ?? []) {
      const time = record.updateTime === undefined ? now : timeOf(record.updateTime);
      addMoment(this.innermost, { name: "belay.command", time, attributes: commandAttributes(record) });
    }
    const latest = job.attempts.at(-1);
    if (latest?.result !== undefined && notes.closed < notes.begun) this.closeAttempt(latest);
    this.applyState();
    if (isEnded(job.state)) this.ended.push(jobSpan(job, this.span, notes.job, now));
    return this.ended;
  }

  /** The moments of the attempt that runs, if there is one, else those of the job. */
  private get innermost(): Moments {
    return this.notes.closed < this.notes.begun ? this.notes.attempt : this.notes.job;
  }

  private applyAttempts(): void {
    const { job, notes, now } = this;
    for (const attempt of job.attempts.slice(notes.begun)) {
      const before = job.attempts.find(({ attempt: number }) => number === notes.begun);
      if (before !== undefined && notes.closed < notes.begun) {
        addMoment(notes.attempt, { name: "belay.superseded", time: now, attributes: {} });
        this.closeAttempt(before);
      }
      notes.begun = attempt.attempt;
      notes.attempt = noMoments();
      const time = attempt.createTime === undefined ? now : timeOf(attempt.createTime);
      addMoment(notes.job, { name: "belay.assigned", time, attributes: { "belay.attempt": attempt.attempt } });
    }
  }

  private applyEvent({ kind, eventTime }: Event): void {
    const time = eventTime === undefined ? this.now : timeOf(eventTime);
    if (kind.case === "stepStarted") {
      const { step, name, argv, pid, main, after } = kind.value;
      this.notes.step = { step, name, argv: shortArguments(argv), pid, main, after, start: time };
    } else if (kind.case === "stepEnded" && this.notes.step?.step === kind.value.step) {
      const { exitCode, signal } = kind.value;
      this.closeStep({ exitCode, signal, time });
    }
  }

  private applyState(): void {
    const { job, notes, now } = this;
    const { state } = notes;
    notes.state = job.state;
    if (job.state === state || isEnded(job.state)) return;
    const add = (name: string): void => addMoment(this.innermost, { name, time: now, attributes: {} });
    if (job.state === JobState.LOST) return add("belay.lost");
    if (job.state === JobState.PENDING) return add("belay.pending");
    if (state === JobState.LOST) add("belay.back");
    if (job.state === JobState.PAUSED) add("belay.paused");
    else if (state === JobState.PAUSED && job.state === JobState.RUNNING) add("belay.resumed");
    else if (job.state === JobState.CANCELING) add("belay.canceling");
  }

  private closeStep(end: StepEnd): void {
    const { job, span, notes } = this;
    if (notes.step !== undefined) this.ended.push(stepSpan(job, span, notes.begun, notes.step, end));
    delete notes.step;
  }

  private closeAttempt(attempt: Attempt): void {
    const { job, span, notes, now } = this;
    if (notes.step !== undefined) this.closeStep(lastStepEnd(notes.step, attempt.result, now));
    notes.closed = notes.begun;
    this.ended.push(attemptSpan(job, span, attempt, notes.attempt, now));
  }
}

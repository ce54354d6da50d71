import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Client } from "@connectrpc/connect";
import { sleep } from "../../base/clock.ts";
import { BelayError } from "../../base/errors.ts";
import type { Job, JobState } from "../../gen/belay/v1/job_pb.ts";
import type { JobFilterSchema, JobService } from "../../gen/belay/v1/job_service_pb.ts";
import type { JobClient } from "../client/client.ts";
import { watchJobs } from "../client/resume.ts";
import { inParallel } from "../../base/in-parallel.ts";
import type { JobSet } from "./job-set.ts";
import { readLastLine } from "./last-line.ts";
import { withDeadline } from "../terminal/with-deadline.ts";
import type { LinkState } from "./link-state.ts";
import type { PrintedBytes, JobRow } from "./row.ts";
import { ENDED_STATES, isEnded, LIVE_STATES } from "../../contract/states.ts";

/** How many jobs beyond those on the screen are requested each interval, in turn: for the sums, and to sort by use. */
const SWEEP = 100;
/** How many ended jobs are requested: the newest. */
export const ENDED_PAGE = 500;
/** A call that takes longer is aborted; the next interval repeats it. */
const CALL_TIMEOUT_MS = 10_000;

/** Shortest time between two rounds of requests. */
const LEAST_PAUSE_MS = 150;

/** See Feed. */
export interface FeedOptions {
  readonly client: JobClient;
  readonly jobs: JobSet;
  /** Only ended jobs in these states are requested. Empty: all. */
  readonly states: ReadonlySet<JobState>;
  /** Labels and name of the jobs to show. */
  readonly filter: Pick<MessageInitShape<typeof JobFilterSchema>, "labels" | "name">;
  readonly intervalMs: number;
  /** Ids of the jobs on the screen: only these are requested individually. */
  readonly visible: () => readonly string[];
  /** Called when something visible has changed. */
  readonly onChange: () => void;
}

/**
 * Keeps the jobs up to date. One stream reports the jobs and their states, and is resumed after a loss. Samples do not
 * count as changes and are not in the stream: each interval requests one page of jobs, the jobs on the screen that were
 * not in the page, and the last lines of those on the screen that have printed. So the tracker's cost does not grow
 * with the number of jobs.
 */
export class Feed {
  private readonly options: FeedOptions;
  private link: LinkState = { outage: undefined, synced: false, answeredMs: Date.now() };
  /** How much each job had printed when its last line was read. */
  private readonly printed = new Map<string, PrintedBytes>();
  /** When each job was last requested. */
  private readonly asked = new Map<string, number>();
  private pageToken = "";
  private readonly left = new Set<string>();
  private refreshDue = false;
  private endedWanted = false;
  private wake: (() => void) | undefined;

  constructor(options: FeedOptions) {
    this.options = options;
  }

  get state(): LinkState {
    return this.link;
  }

  /** Runs until the signal aborts. @throws BelayError when a retry cannot help */
  async run(signal: AbortSignal): Promise<void> {
    const failed = new AbortController();
    const both = AbortSignal.any([signal, failed.signal]);
    const watching = this.watch(both).finally(() => failed.abort());
    await Promise.all([watching, this.poll(both)]);
  }

  /** Must be called when other jobs are on the screen: requests the new ones before the interval ends. */
  refresh(): void {
    this.refreshDue = true;
    this.wake?.();
  }

  /** Requests the newest ended jobs, as soon as the tracker answers. */
  requestEnded(): void {
    this.endedWanted = true;
    this.refresh();
  }

  private async watch(signal: AbortSignal): Promise<void> {
    const { client, jobs, filter, onChange } = this.options;
    const onOutage = (outage: LinkState["outage"]): void => {
      this.link = { ...this.link, outage };
      onChange();
    };
    const states = [...LIVE_STATES];
    for await (const answer of watchJobs(client, { ...filter, states }, { signal, onOutage })) {
      if (answer === "snapshot") {
        jobs.beginSnapshot();
        continue;
      }
      this.noteAnswer();
      const { change } = answer;
      if (change.case === "job") jobs.put(change.value, Date.now());
      else if (change.case === "deletedJobId") jobs.remove(change.value);
      else if (change.case === "leftJobId") this.requestJob(change.value);
      else if (change.case === "synced") {
        for (const jobId of jobs.endSnapshot()) this.requestJob(jobId);
        this.link = { ...this.link, synced: true };
        this.refresh();
      }
      onChange();
    }
  }

  /** Requests a job that no longer runs: the stream reports only that it has left the requested states. */
  private requestJob(jobId: string): void {
    if (this.options.jobs.get(jobId) === undefined) return;
    this.left.add(jobId);
    this.refresh();
  }

  private async poll(signal: AbortSignal): Promise<void> {
    const { intervalMs, onChange } = this.options;
    let nextMs = 0;
    while (!signal.aborted) {
      this.refreshDue = false;
      const due = performance.now() >= nextMs;
      if (due) nextMs = performance.now() + intervalMs;
      if (this.link.synced && this.link.outage === undefined) {
        try {
          if (due) await this.sweep(signal);
          await this.loadEnded(signal);
          await this.askForVisible(signal);
        } catch {
          // The stream reports the problem; the next interval requests the job again.
        }
      }
      // There may be new samples; if not, time has passed.
      onChange();
      // Limits the calls while a key is held down and scrolls many times a second.
      await sleep(LEAST_PAUSE_MS, signal);
      await this.pause(nextMs - performance.now(), signal);
    }
  }

  /** Requests one page of all jobs, the next one each time. */
  private async sweep(signal: AbortSignal): Promise<void> {
    const { jobs, filter } = this.options;
    const request = { filter: { ...filter, states: [...LIVE_STATES] }, pageSize: SWEEP, pageToken: this.pageToken };
    const answer = await this.callTracker(signal, (service, options) => service.listJobs(request, options));
    this.noteAnswer();
    this.pageToken = answer.nextPageToken;
    for (const job of answer.jobs) this.update(job);
    if (jobs.size > 2 * this.asked.size) return;
    for (const jobId of this.asked.keys()) if (jobs.get(jobId) === undefined) this.forget(jobId);
  }

  private async loadEnded(signal: AbortSignal): Promise<void> {
    if (!this.endedWanted) return;
    const { jobs, filter, states } = this.options;
    const wanted = ENDED_STATES.filter((state) => states.size === 0 || states.has(state));
    const request = { filter: { ...filter, states: wanted }, pageSize: ENDED_PAGE };
    const found =
      wanted.length === 0 ? [] : (await this.callTracker(signal, (s, options) => s.listJobs(request, options))).jobs;
    for (const job of found.toReversed()) jobs.put(job, Date.now());
    this.endedWanted = false;
  }

  private async askForVisible(signal: AbortSignal): Promise<void> {
    const { client, jobs, visible, intervalMs } = this.options;
    const rowsOf = (): JobRow[] => visible().flatMap((jobId) => jobs.get(jobId) ?? []);
    const old = performance.now() - 0.9 * intervalMs;
    const due = rowsOf().filter(({ jobId, state }) => !isEnded(state) && (this.asked.get(jobId) ?? -Infinity) < old);
    const ids = new Set([...this.left, ...due.map(({ jobId }) => jobId)]);
    await inParallel([...ids], async (jobId) => {
      try {
        const { job } = await this.callTracker(signal, (service, options) => service.getJob({ jobId }, options));
        this.noteAnswer();
        if (job !== undefined) this.update(job);
      } catch (error) {
        if (!(error instanceof BelayError && error.code === "NOT_FOUND")) throw error;
        jobs.remove(jobId);
      }
      this.left.delete(jobId);
    });
    const printing = rowsOf().filter(({ jobId, state, output }) => !isEnded(state) && this.hasPrinted(jobId, output));
    await inParallel(printing, async (row) => {
      const seen = this.printed.get(row.jobId);
      this.printed.set(row.jobId, row.output);
      const text = await withDeadline(CALL_TIMEOUT_MS, signal, (limited) => readLastLine(client, row, seen, limited));
      if (text !== undefined) jobs.putLastLine(row.jobId, text);
    });
  }

  private hasPrinted(jobId: string, { stdout, stderr }: PrintedBytes): boolean {
    const seen = this.printed.get(jobId);
    return stdout !== (seen?.stdout ?? 0) || stderr !== (seen?.stderr ?? 0);
  }

  private update(job: Job): void {
    const { jobs } = this.options;
    // An unknown job is added only by the stream, which is in order: it may have been deleted.
    if (jobs.get(job.jobId) === undefined) return;
    this.asked.set(job.jobId, performance.now());
    jobs.put(job, Date.now());
  }

  private forget(jobId: string): void {
    this.asked.delete(jobId);
    this.printed.delete(jobId);
  }

  private noteAnswer(): void {
    this.link = { ...this.link, answeredMs: Date.now() };
  }

  private async pause(ms: number, signal: AbortSignal): Promise<void> {
    if (ms <= 0 || this.refreshDue) return;
    await withDeadline(ms, signal, async (over) => {
      const woken = new AbortController();
      this.wake = () => woken.abort();
      over.addEventListener("abort", this.wake, { once: true });
      await sleep(ms, woken.signal);
      this.wake = undefined;
    });
  }

  private callTracker<T>(
    signal: AbortSignal,
    make: (jobs: Client<typeof JobService>, options: { signal: AbortSignal }) => Promise<T>,
  ): Promise<T> {
    return withDeadline(CALL_TIMEOUT_MS, signal, (limited) =>
      this.options.client.once((jobs) => make(jobs, { signal: limited })),
    );
  }
}

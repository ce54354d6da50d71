import { shortMessage } from "./outage-text.ts";
import { sleep } from "../../base/clock.ts";
import { messageOf } from "../../base/errors.ts";
import type { JobClient } from "../client/client.ts";
import { nextAttemptText, throughAttempts } from "../client/attempts.ts";
import { readLogs } from "../client/resume.ts";
import { showText } from "../render/job/show.ts";
import { styleOf } from "../render/style.ts";
import type { Line } from "../terminal/line.ts";
import { line } from "../terminal/line.ts";
import { TextBuffer } from "./text-buffer.ts";
import type { PagerText } from "./view.ts";

/** How many lines of a log are read, counted from its end. */
const TAIL_LINES = 2_000n;

/** A text on the whole screen that is kept up to date. */
export class Pager {
  readonly jobId: string;
  readonly what: "log" | "info";
  private readonly closing = new AbortController();
  private readonly buffer = new TextBuffer();
  private info: readonly Line[] = [];
  private remarkText = "";
  private readonly done: Promise<void>;
  private readonly onChange: () => void;

  /** @param intervalMs time between two reads of a job's facts, for which there is no stream */
  constructor(client: JobClient, what: "log" | "info", jobId: string, intervalMs: number, onChange: () => void) {
    this.jobId = jobId;
    this.what = what;
    this.onChange = onChange;
    const work = what === "log" ? this.follow(client) : this.poll(client, intervalMs);
    this.done = work.catch((error: unknown) => this.setRemark(messageOf(error)));
  }

  get text(): PagerText {
    const { info } = this;
    if (this.what === "log") return this.buffer;
    return { first: 0, count: info.length, slice: (from, to) => info.slice(from, to) };
  }

  /** A message to show: a problem, or that the log has ended. Empty: neither. */
  get remark(): string {
    return this.remarkText;
  }

  async close(): Promise<void> {
    this.closing.abort();
    await this.done;
  }

  private async follow(client: JobClient): Promise<void> {
    const { signal } = this.closing;
    const onOutage = (outage: { why: string } | undefined): void => {
      this.setRemark(outage === undefined ? "" : `tracker away: ${shortMessage(outage.why)}`);
    };
    const start = { case: "tailLines", value: TAIL_LINES } as const;
    const { jobId } = this;
    const options = { signal, onOutage };
    const read = (attempt: number, isFirst: boolean): ReturnType<typeof readLogs> =>
      readLogs(client, { jobId, attempt, follow: true, ...(isFirst ? { start } : {}) }, options);
    const onNext = (attempt: number): void => this.buffer.remark(nextAttemptText(jobId, attempt));
    for await (const { chunks } of throughAttempts(client, jobId, read, { ...options, onNext })) {
      for (const chunk of chunks) this.buffer.push(chunk);
      this.onChange();
    }
    if (!signal.aborted) this.setRemark("end of the log");
  }

  private async poll(client: JobClient, intervalMs: number): Promise<void> {
    const { signal } = this.closing;
    const style = styleOf({ color: false });
    while (!signal.aborted) {
      try {
        const { job } = await client.once((jobs) => jobs.getJob({ jobId: this.jobId }, { signal }));
        const text = job === undefined ? "" : showText(job, style, Date.now());
        this.info = text
          .trimEnd()
          .split("\n")
          .map((one) => line(one));
        this.setRemark("");
      } catch (error) {
        this.setRemark(shortMessage(messageOf(error)));
      }
      await sleep(intervalMs, signal);
    }
  }

  private setRemark(text: string): void {
    this.remarkText = text;
    this.onChange();
  }
}

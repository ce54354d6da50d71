import { create } from "@bufbuild/protobuf";
import type { Clock } from "../../base/clock.ts";
import { MiB } from "../../base/text/sizes.ts";
import { formatSize } from "../../contract/sizes.ts";
import {
  JobMetricSchema,
  type JobMetrics,
  JobMetricsSchema,
  type Progress,
  ProgressSchema,
} from "../../gen/belay/v1/job_pb.ts";
import { DiskSpace } from "./disk-space.ts";
import { FollowedFile, MOST_UNREAD_BYTES } from "./followed-file.ts";
import { parseLine } from "./grammar.ts";
import { Interval } from "./interval.ts";
import { LeftOut } from "./left-out.ts";
import { Lines, MOST_LINE_BYTES } from "./lines.ts";
import { eventInterval } from "./pace.ts";

/** Most that one poll reads, so that a job that writes endlessly costs the agent little. Bytes. */
const POLL_BYTES: number = 2 * MiB;
/** Most pieces that one poll reads: a bound for a file that is truncated again and again. */
const POLL_PIECES = 500;
/** How much of a bad line is quoted. Bytes. */
const QUOTED_BYTES = 100;
/** A longer note is truncated. Bytes. */
export const MOST_NOTE_BYTES = 256;

/** Receives what a job reports about itself. */
export interface MetricsFileHost {
  /** @returns false when the event was dropped */
  metrics(metrics: JobMetrics): boolean;
  /** The job has written a line that is valid, also one that no event results from. */
  written?(): void;
  /** Adds a message to the job's log. */
  notice(message: string): void;
  /** Returns the text without secrets. */
  text(value: string): string;
  /** How many events wait for the tracker. */
  waiting(): number;
  readonly clock: Clock;
  /** The environment of helper processes. */
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/**
 * Reads what the job reports about itself, and makes at most one event a second of it.
 *
 * Its law: each line that was complete when a poll began is in an event after that poll, or is thinned by the law of
 * Interval, or is counted as bad or as skipped.
 */
export class Follower {
  private readonly host: MetricsFileHost;
  private readonly file: FollowedFile;
  private readonly disk: DiskSpace;
  private readonly lines: Lines;
  private readonly interval = new Interval();
  private progress: Pick<Progress, "fraction" | "note"> | undefined;
  /** Whether the progress differs from the one in the last event. */
  private progressChanged = false;
  private lastEvent = Number.NEGATIVE_INFINITY;
  private bad = 0;
  private readonly leftOut = new LeftOut();
  private skipped = 0;
  private unreadable = false;

  /** @param fd the new file; `end` closes it */
  constructor(path: string, fd: number | undefined, host: MetricsFileHost) {
    this.host = host;
    this.file = new FollowedFile(path, fd, (what) => this.cannotRead(what));
    this.disk = new DiskSpace(this.file, host.environment);
    this.lines = new Lines(
      (text) => this.parse(text),
      () => this.isBad(`expected a line of at most ${MOST_LINE_BYTES} bytes, found a longer one`),
    );
  }

  /** Reads what is there, and makes an event of it if one is due. */
  async poll(): Promise<void> {
    await this.read(POLL_BYTES);
    const { clock } = this.host;
    if (clock.monotonic() - this.lastEvent >= eventInterval(this.host.waiting())) this.emit();
    await this.disk.reclaim();
  }

  /** Reads what is there and makes an event of it at once: a step has ended. */
  async settle(): Promise<void> {
    await this.read(MOST_UNREAD_BYTES);
    this.emit();
  }

  /** Like `settle`, for the last time: a line without a newline counts, too. Adds a summary of losses to the log. */
  async end(): Promise<void> {
    await this.read(MOST_UNREAD_BYTES);
    this.lines.finish();
    this.emit();
    this.file.close();
    for (const line of this.summary()) this.host.notice(line);
  }

  private async read(most: number): Promise<void> {
    let bytes = 0;
    for (let pieces = 0; pieces < POLL_PIECES && bytes < most; pieces++) {
      const piece = this.file.next();
      if (piece === undefined) return;
      switch (piece.kind) {
        case "bytes":
          bytes += piece.bytes.length;
          this.lines.write(piece.bytes);
          break;
        case "restarted":
          this.restart();
          break;
        case "skipped":
          this.skipped += piece.bytes;
          this.lines.skipLine();
          break;
      }
      // Heartbeats, logs and commands take precedence.
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  private restart(): void {
    const unfinished = !this.lines.isEmpty;
    this.lines.drop();
    if (unfinished) this.isBad("the file was emptied or replaced before the line had its newline");
  }

  private parse(text: string): void {
    const parsed = parseLine(text);
    if (parsed.kind === "bad") this.isBad(parsed.why, text);
    if (parsed.kind !== "record") return;
    this.host.written?.();
    for (const value of parsed.values) this.interval.add(value);
    if (parsed.progress !== undefined || parsed.note !== undefined) this.updateProgress(parsed.progress, parsed.note);
  }

  /** Fraction and note each stay until the job sets them again. */
  private updateProgress(fraction: number | undefined, note: string | undefined): void {
    const before = this.progress;
    const now = { fraction: fraction ?? before?.fraction ?? 0, note: note ?? before?.note ?? "" };
    if (now.fraction === before?.fraction && now.note === before.note) return;
    this.progress = now;
    this.progressChanged = true;
  }

  private isBad(why: string, line?: string): void {
    if (this.bad++ > 0) return;
    const what = line === undefined ? why : this.withoutSecrets(line, why);
    this.host.notice(`A line of $BELAY_METRICS is skipped: ${what}. More such lines are only counted`);
  }

  /** Removes secrets before it truncates: half a secret would not be recognised. */
  private withoutSecrets(line: string, why: string): string {
    const clean = this.host.text(line);
    const again = clean === line ? undefined : parseLine(clean);
    const reason = again === undefined ? why : again.kind === "bad" ? again.why : "it breaks the grammar";
    return `${reason}, in ${JSON.stringify(cut(clean, QUOTED_BYTES))}`;
  }

  private cannotRead(what: string): void {
    if (this.unreadable) return;
    this.unreadable = true;
    this.host.notice(`Cannot read $BELAY_METRICS: ${what}. It is read again when a file is there`);
  }

  /** Makes an event of what has been read, if anything. */
  private emit(): void {
    if (this.interval.isEmpty && !this.progressChanged) return;
    const { clock } = this.host;
    const { values, left } = this.interval.drain();
    this.leftOut.add(left);
    this.lastEvent = clock.monotonic();
    const readUnixNano = clock.unixNano();
    const names = this.cleanNames(values.map(({ name }) => name));
    const { fraction = 0, note = "" } = this.progress ?? {};
    const accepted = this.host.metrics(
      create(JobMetricsSchema, {
        readUnixNano,
        metrics: values.map(({ value, step }, i) =>
          create(JobMetricSchema, { name: names[i] ?? "", value, ...(step !== undefined && { step }) }),
        ),
        ...(this.progressChanged && {
          progress: create(ProgressSchema, {
            fraction,
            note: cut(this.host.text(note), MOST_NOTE_BYTES),
            readUnixNano,
          }),
        }),
      }),
    );
    if (accepted) this.progressChanged = false;
    else this.leftOut.addUnsent(values.length);
  }

  /** Removes secrets from names. One search over all of them is enough, as long as it finds nothing. */
  private cleanNames(names: readonly string[]): readonly string[] {
    const all = names.join("\n");
    return this.host.text(all) === all ? names : names.map((name) => this.host.text(name));
  }

  private summary(): string[] {
    const { bad, skipped } = this;
    return [
      ...(bad > 1 ? [`${bad} lines of $BELAY_METRICS were skipped`] : []),
      ...(skipped > 0
        ? [`${formatSize(skipped)} of $BELAY_METRICS were skipped: there was more than the agent could read in time`]
        : []),
      ...this.leftOut.lines(),
    ];
  }
}

/** Truncates between two characters. */
function cut(text: string, most: number): string {
  const bytes = Buffer.from(text);
  if (bytes.length <= most) return text;
  const ellipsis = "…";
  let end = most - Buffer.byteLength(ellipsis);
  while (((bytes[end] ?? 0) & 0xc0) === 0x80) end--;
  return bytes.toString("utf8", 0, end) + ellipsis;
}

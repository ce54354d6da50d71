import { create } from "@bufbuild/protobuf";
import type { Clock } from "../../base/clock.ts";
import { formatSize, MiB } from "../../base/sizes.ts";
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

/** Read in one look, so that a job that writes without end costs the agent little. Bytes. */
const LOOK_BYTES: number = 2 * MiB;
/** A file that is truncated again and again ends a look after so many pieces. */
const LOOK_PIECES = 500;
/** Of a bad line, so much is quoted. Bytes. */
const QUOTED_BYTES = 100;
/** A longer note is cut. Bytes. */
export const MOST_NOTE_BYTES = 256;

/** Where what a job says about itself goes. */
export interface MetricsFileHost {
  /** @returns false when it is left out */
  metrics(metrics: JobMetrics): boolean;
  /** Takes a remark for the job's log. */
  notice(message: string): void;
  /** The same text without secrets. */
  text(value: string): string;
  /** Events that wait for the tracker. */
  waiting(): number;
  readonly clock: Clock;
  /** For helpers. */
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/**
 * Reads what the job says about itself, and passes it on: one event a second at most.
 *
 * Its law: each line that was whole when a look began is in an event after that look, or stands for those that are, by
 * the law of Interval, or is counted: as bad, or as left out.
 */
export class Follower {
  private readonly host: MetricsFileHost;
  private readonly file: FollowedFile;
  private readonly disk: DiskSpace;
  private readonly lines: Lines;
  private readonly interval = new Interval();
  private progress: Pick<Progress, "fraction" | "note"> | undefined;
  /** It is another one than was passed on last. */
  private moved = false;
  private lastEvent = Number.NEGATIVE_INFINITY;
  private bad = 0;
  private readonly leftOut = new LeftOut();
  private skipped = 0;
  private lostSight = false;

  /** @param fd the file as it was made; it is closed by `end` */
  constructor(path: string, fd: number | undefined, host: MetricsFileHost) {
    this.host = host;
    this.file = new FollowedFile(path, fd, (what) => this.cannotRead(what));
    this.disk = new DiskSpace(this.file, host.environment);
    this.lines = new Lines(
      (text) => this.take(text),
      () => this.isBad(`expected a line of at most ${MOST_LINE_BYTES} bytes, found a longer one`),
    );
  }

  /** Reads what is there, and passes it on if the time for an event has come. */
  async look(): Promise<void> {
    await this.readOn(LOOK_BYTES);
    const { clock } = this.host;
    if (clock.monotonic() - this.lastEvent >= eventInterval(this.host.waiting())) this.pass();
    await this.disk.reclaim();
  }

  /** Reads what is there and passes it on at once: a step has ended. */
  async settle(): Promise<void> {
    await this.readOn(MOST_UNREAD_BYTES);
    this.pass();
  }

  /** The same for the last time: a line without a newline counts, too. Says what was left out. */
  async end(): Promise<void> {
    await this.readOn(MOST_UNREAD_BYTES);
    this.lines.finish();
    this.pass();
    this.file.close();
    for (const line of this.summary()) this.host.notice(line);
  }

  private async readOn(most: number): Promise<void> {
    let bytes = 0;
    for (let pieces = 0; pieces < LOOK_PIECES && bytes < most; pieces++) {
      const piece = this.file.next();
      if (piece === undefined) return;
      switch (piece.kind) {
        case "bytes":
          bytes += piece.bytes.length;
          this.lines.write(piece.bytes);
          break;
        case "anew":
          this.startAnew();
          break;
        case "skipped":
          this.skipped += piece.bytes;
          this.lines.tear();
          break;
      }
      // Heartbeats, logs and orders come first.
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  private startAnew(): void {
    const unfinished = !this.lines.isEmpty;
    this.lines.drop();
    if (unfinished) this.isBad("the file was emptied or replaced before the line had its newline");
  }

  private take(text: string): void {
    const parsed = parseLine(text);
    if (parsed.kind === "bad") this.isBad(parsed.why, text);
    if (parsed.kind !== "record") return;
    for (const value of parsed.values) this.interval.add(value);
    if (parsed.progress !== undefined || parsed.note !== undefined) this.takeProgress(parsed.progress, parsed.note);
  }

  /** Each of the two stays until it is said again. */
  private takeProgress(fraction: number | undefined, note: string | undefined): void {
    const before = this.progress;
    const now = { fraction: fraction ?? before?.fraction ?? 0, note: note ?? before?.note ?? "" };
    if (now.fraction === before?.fraction && now.note === before.note) return;
    this.progress = now;
    this.moved = true;
  }

  private isBad(why: string, line?: string): void {
    if (this.bad++ > 0) return;
    const what = line === undefined ? why : this.withoutSecrets(line, why);
    this.host.notice(`A line of $BELAY_METRICS is skipped: ${what}. More such lines are only counted`);
  }

  /** Secrets are taken out before anything is cut: of half a secret nobody would know that it is one. */
  private withoutSecrets(line: string, why: string): string {
    const clean = this.host.text(line);
    const again = clean === line ? undefined : parseLine(clean);
    const reason = again === undefined ? why : again.kind === "bad" ? again.why : "it breaks the grammar";
    return `${reason}, in ${JSON.stringify(cut(clean, QUOTED_BYTES))}`;
  }

  private cannotRead(what: string): void {
    if (this.lostSight) return;
    this.lostSight = true;
    this.host.notice(`Cannot read $BELAY_METRICS: ${what}. It is read again when a file is there`);
  }

  /** Makes an event of what there is, if there is anything. */
  private pass(): void {
    if (this.interval.isEmpty && !this.moved) return;
    const { clock } = this.host;
    const { values, left } = this.interval.take();
    this.leftOut.add(left);
    this.lastEvent = clock.monotonic();
    const readUnixNano = clock.unixNano();
    const names = this.cleanNames(values.map(({ name }) => name));
    const { fraction = 0, note = "" } = this.progress ?? {};
    const taken = this.host.metrics(
      create(JobMetricsSchema, {
        readUnixNano,
        metrics: values.map(({ value, step }, i) =>
          create(JobMetricSchema, { name: names[i] ?? "", value, ...(step !== undefined && { step }) }),
        ),
        ...(this.moved && {
          progress: create(ProgressSchema, {
            fraction,
            note: cut(this.host.text(note), MOST_NOTE_BYTES),
            readUnixNano,
          }),
        }),
      }),
    );
    if (taken) this.moved = false;
    else this.leftOut.addUnsent(values.length);
  }

  /** A secret may be a name as well. One search for all of them is enough, as long as it finds nothing. */
  private cleanNames(names: readonly string[]): readonly string[] {
    const all = names.join("\n");
    return this.host.text(all) === all ? names : names.map((name) => this.host.text(name));
  }

  private summary(): string[] {
    const { bad, skipped } = this;
    return [
      ...(bad > 1 ? [`${bad} lines of $BELAY_METRICS were skipped`] : []),
      ...(skipped > 0
        ? [`${formatSize(skipped)} of $BELAY_METRICS were not read: there was more than could be read in time`]
        : []),
      ...this.leftOut.lines(),
    ];
  }
}

/** Cuts at a character's edge. */
function cut(text: string, most: number): string {
  const bytes = Buffer.from(text);
  if (bytes.length <= most) return text;
  const ellipsis = "…";
  let end = most - Buffer.byteLength(ellipsis);
  while (((bytes[end] ?? 0) & 0xc0) === 0x80) end--;
  return bytes.toString("utf8", 0, end) + ellipsis;
}

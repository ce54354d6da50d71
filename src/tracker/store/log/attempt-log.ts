// Longer than 300 lines: one writer owns the file, the index and what waits for them, so that what is committed, pending
// and listed changes together.
import type { FileHandle } from "node:fs/promises";
import { mkdir, open } from "node:fs/promises";
import { dirname } from "node:path";
import { constants } from "node:fs";
import { KiB, MiB } from "../../../base/text/sizes.ts";
import { BelayError, errnoOf } from "../../../base/errors.ts";
import type { LogStream, StreamTotals } from "../../../gen/belay/v1/job_pb.ts";
import type { LogBatch } from "../../../gen/belay/v1/tracker_service_pb.ts";
import type { StoredChunk } from "./format.ts";
import {
  CHUNK_HEADER_BYTES,
  FILE_HEADER_BYTES,
  RECORD_HEADER_BYTES,
  encodeFileHeader,
  encodeRecord,
} from "./format.ts";
import { acceptChunks } from "./intake.ts";
import { ENTRY_BYTES, encodeEntry, lastEntry } from "./index-file.ts";
import type { LogOwner } from "./owner.ts";
import type { PlacedRecord } from "./records.ts";
import { readRecords } from "./records.ts";
import type { Damage, Recovered } from "./recover.ts";
import { INDEX_INTERVAL_BYTES, recover } from "./recover.ts";
import type { LogTotals } from "./totals.ts";
import { addChunk, copyTotals, emptyTotals, sumsOf } from "./totals.ts";

/** Bytes that may wait for the disk before the sender must wait. */
const HIGH_WATER_BYTES = 4 * MiB;
/** Bytes waiting at which the sender may go on. */
const LOW_WATER_BYTES = 1 * MiB;
/** Entries of the index that are written together while more of the log waits: they are no more than a help. */
const ENTRIES_AT_ONCE = 16;
/** Records below this size are copied together: one large write is cheaper than many small pieces. */
const COPY_BELOW_BYTES = 8 * KiB;

/** How a log is kept. */
export interface LogOptions {
  /** Whether `committed` waits for the disk (fdatasync), not only for the kernel. */
  readonly durable: boolean;
  /** Bytes of output that one log holds; what comes beyond it is stored as a gap. 0: no limit. */
  readonly limit: number;
  /** Told of each write: its bytes, how long it took, and since when its first byte waited, in milliseconds. */
  readonly written?: (bytes: number, took: number, lag: number) => void;
  /** Told of each write that failed. */
  readonly failed?: (error: unknown) => void;
  /** Why nothing may be written now; asked before each write. Undefined: it may. */
  readonly refusal?: () => Error | undefined;
  /** Told of each stretch of the file that cannot be read, whenever a reader comes upon it. */
  readonly damaged?: (damage: Damage) => void;
}

/** What became of a batch that was handed in. */
export type AppendOutcome =
  | { readonly kind: "accepted" }
  /** It is stored or on its way already. */
  | { readonly kind: "duplicate" }
  /** It skips a sequence. */
  | { readonly kind: "gap"; readonly expected: number }
  /** It breaks a rule of the contract. */
  | { readonly kind: "invalid"; readonly problem: string };

/**
 * The log of one attempt on disk. One writer owns the file, the index and what waits for them: what is committed, pending
 * and listed must change together.
 *
 * Law: `committed` counts exactly the records that `write` has taken; they survive the death of this process. In a
 * durable log they are on the disk as well, and survive a power cut. Batches are written in order of sequence, each
 * once. While one write is under way, whatever arrives waits and goes into the next one together, so that one
 * fdatasync serves them all.
 */
export class AttemptLog {
  private readonly path: string;
  private readonly owner: LogOwner;
  private readonly options: LogOptions;
  private file: FileHandle | undefined;
  private index: FileHandle | undefined;
  private entries = 0;
  private indexed = FILE_HEADER_BYTES;
  /** With everything handed in, written or not. */
  private tail: LogTotals = emptyTotals(FILE_HEADER_BYTES);
  private done: LogTotals = emptyTotals(FILE_HEADER_BYTES);
  private pending: Uint8Array[] = [];
  private pendingBytes = 0;
  /** When the first byte that waits was read from the job; by the agent's clock, nanoseconds. */
  private pendingSince = 0n;
  private pendingEntries: Buffer[] = [];
  /** What they point to is written. */
  private readyEntries: Buffer[] = [];
  /** To be called when what is pending is written. */
  private pendingReleases: (() => void)[] = [];
  private writing: Promise<void> | undefined;
  private readonly listeners = new Set<(error: unknown) => void>();
  private waiters: (() => void)[] = [];

  /** Nothing is read or made before `open`. */
  constructor(path: string, owner: LogOwner, options: LogOptions = { durable: false, limit: 0 }) {
    this.path = path;
    this.owner = owner;
    this.options = options;
  }

  /** What is on disk. Changes as more is written. */
  get committed(): Readonly<LogTotals> {
    return this.done;
  }

  /** Sequence of the last batch that was handed in, on disk or not. */
  get lastSequence(): number {
    return this.tail.sequence;
  }

  /** Whether so much waits for the disk that the sender must wait: await `drained`. */
  get congested(): boolean {
    return this.pendingBytes >= HIGH_WATER_BYTES;
  }

  /** Whether nothing waits for the disk. */
  get idle(): boolean {
    return this.pendingBytes === 0;
  }

  /**
   * Opens what is there. A log without a record has no files.
   *
   * @param stored what the database says was stored, of a log that is not written any more; undefined: it may be
   * @returns bytes that were cut off
   * @throws BelayError `STORE` if nothing of what was stored can be read, or the file is not this log's
   */
  async open(stored?: readonly StreamTotals[]): Promise<number> {
    const file = await openIfThere(this.path);
    if (file === undefined) {
      if (stored?.some(({ bytes }) => bytes > 0n) !== true) return 0;
      throw new BelayError("STORE", `Cannot read the log "${this.path}": it is missing`);
    }
    let index: FileHandle | undefined;
    let found: Recovered;
    try {
      index = await open(`${this.path}.index`, constants.O_RDWR | constants.O_CREAT, 0o600);
      found = await recover(this.path, { log: file, index }, this.owner, stored);
    } catch (error) {
      await file.close();
      await index?.close();
      throw error;
    }
    this.file = file;
    this.index = index;
    if (found.totals.position === FILE_HEADER_BYTES) await file.write(encodeFileHeader(this.owner), 0, null, 0);
    for (const damage of found.damaged) this.options.damaged?.(damage);
    this.done = found.totals;
    this.tail = copyTotals(found.totals);
    this.entries = found.entries;
    this.indexed = found.totals.position;
    return found.torn;
  }

  /**
   * Accepts a batch for writing. When it is written, listeners are notified.
   *
   * @param release called when the batch's data is no longer read; perhaps never
   */
  append(batch: LogBatch, release?: () => void): AppendOutcome {
    const sequence = Number(batch.sequence);
    if (sequence < 1) return { kind: "invalid", problem: "a sequence of 0: the first is 1" };
    if (sequence <= this.tail.sequence) return { kind: "duplicate" };
    if (sequence > this.tail.sequence + 1) return { kind: "gap", expected: this.tail.sequence + 1 };
    const taken = acceptChunks(batch, this.tail, this.options.limit);
    if (typeof taken === "string") return { kind: "invalid", problem: taken };
    this.add(sequence, taken, release);
    return { kind: "accepted" };
  }

  /**
   * Notes that the records up to a sequence will never come: the agent no longer holds them. What they held shows as
   * a gap as soon as the stream goes on behind it.
   */
  skipTo(sequence: number): void {
    if (sequence > this.tail.sequence) this.add(sequence, []);
  }

  /** Resolves when everything handed in so far is on disk, or has failed to get there. */
  async flush(): Promise<void> {
    while (this.writing !== undefined) await this.writing;
  }

  /** Resolves when the sender may go on. */
  async drained(): Promise<void> {
    while (this.pendingBytes > LOW_WATER_BYTES) {
      await new Promise<void>((resolve) => this.waiters.push(resolve));
    }
  }

  /**
   * Has a function called after each write, with undefined, or with the error of a write that failed: then everything
   * that was not committed is forgotten, and may be handed in again.
   *
   * @returns a function that unsubscribes
   */
  onWrite(listener: (error: unknown) => void): () => void {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  }

  /** Reads what is committed from a record on, over what is damaged. */
  async *read(from: number, until: number): AsyncGenerator<PlacedRecord, void> {
    if (this.file === undefined) return;
    const end = Math.min(until, this.done.position);
    let intact = from;
    for await (const record of readRecords(this.file, this.owner, from, end)) {
      if (record.skipped > 0) this.options.damaged?.({ from: intact, to: record.position });
      intact = record.end;
      yield record;
    }
    if (intact < end) this.options.damaged?.({ from: intact, to: end });
  }

  /**
   * The last known place for which a condition holds, for a reader to begin at. The condition must hold for a
   * beginning of the log and not after it.
   */
  async seek(holds: (totals: LogTotals) => boolean): Promise<LogTotals> {
    const found = this.index === undefined ? undefined : await lastEntry(this.index, this.owner, this.entries, holds);
    return found ?? emptyTotals(FILE_HEADER_BYTES);
  }

  /** Writes what waits and closes the files. */
  async close(): Promise<void> {
    await this.flush();
    if (this.done.position > this.indexed) this.readyEntries.push(encodeEntry(this.owner, this.done));
    await this.writeEntries();
    await this.file?.close();
    await this.index?.close();
    this.file = undefined;
    this.index = undefined;
  }

  private add(sequence: number, chunks: readonly StoredChunk[], release?: () => void): void {
    const { tail } = this;
    if (tail.position - this.indexed >= INDEX_INTERVAL_BYTES) {
      this.pendingEntries.push(encodeEntry(this.owner, tail));
      this.indexed = tail.position;
    }
    const pieces = encodeRecord(this.owner, sequence, chunks);
    let at = tail.position + RECORD_HEADER_BYTES;
    for (const chunk of chunks) {
      addChunk(tail, chunk, at);
      at += CHUNK_HEADER_BYTES + (chunk.data?.byteLength ?? 0);
    }
    const bytes = at - tail.position;
    if (this.pending.length === 0) this.pendingSince = chunks[0]?.readUnixNano ?? 0n;
    tail.sequence = sequence;
    tail.position = at;
    if (bytes < COPY_BELOW_BYTES) {
      this.pending.push(Buffer.concat(pieces, bytes));
      release?.();
    } else {
      this.pending.push(...pieces);
      if (release !== undefined) this.pendingReleases.push(release);
    }
    this.pendingBytes += bytes;
    this.writing ??= this.writeAll();
  }

  /** Writes until nothing waits. Never throws. */
  private async writeAll(): Promise<void> {
    try {
      while (this.pending.length > 0) {
        const pieces = this.pending;
        const bytes = this.pendingBytes;
        const entries = this.pendingEntries;
        const releases = this.pendingReleases;
        const since = this.pendingSince;
        const reached = copyTotals(this.tail);
        const start = performance.now();
        this.pending = [];
        this.pendingEntries = [];
        this.pendingReleases = [];
        const refusal = this.options.refusal?.();
        if (refusal !== undefined) throw refusal;
        this.file ??= await this.create();
        await writeFully(this.file, pieces, this.done.position);
        for (const release of releases) release();
        if (this.options.durable) await this.file.datasync();
        this.done = reached;
        this.pendingBytes -= bytes;
        this.options.written?.(bytes, performance.now() - start, Date.now() - Number(since / 1_000_000n));
        this.notify(undefined);
        this.readyEntries.push(...entries);
        if (this.pending.length === 0 || this.readyEntries.length >= ENTRIES_AT_ONCE) await this.writeEntries();
      }
    } catch (error) {
      await this.abandon(error);
    } finally {
      this.writing = undefined;
      this.wake();
    }
  }

  private async create(): Promise<FileHandle> {
    await mkdir(dirname(this.path), { recursive: true, mode: 0o700 });
    const flags = constants.O_RDWR | constants.O_CREAT;
    // What an index says of a log that is gone must not be taken for this one's.
    this.index ??= await open(`${this.path}.index`, flags | constants.O_TRUNC, 0o600);
    const file = await open(this.path, flags, 0o600);
    try {
      await writeFully(file, [encodeFileHeader(this.owner)], 0);
      // The file's name has to be as durable as what is in it.
      if (this.options.durable) for (const parent of parents(this.path)) await syncDirectory(parent);
    } catch (error) {
      await file.close();
      throw error;
    }
    return file;
  }

  /** A missing entry only makes reading slower, so a failure is no reason to stop. */
  private async writeEntries(): Promise<void> {
    const entries = this.readyEntries;
    if (this.index === undefined || entries.length === 0) return;
    this.readyEntries = [];
    const bytes = Buffer.concat(entries);
    const written = await this.index.write(bytes, 0, bytes.length, this.entries * ENTRY_BYTES).catch(() => undefined);
    if (written?.bytesWritten === bytes.length) this.entries += entries.length;
  }

  private async abandon(problem: unknown): Promise<void> {
    await this.file?.truncate(this.done.position).catch(() => undefined);
    this.pending = [];
    this.pendingBytes = 0;
    this.pendingEntries = [];
    this.pendingReleases = [];
    this.tail = copyTotals(this.done);
    this.indexed = Math.min(this.indexed, this.done.position);
    this.options.failed?.(problem);
    this.notify(problem);
  }

  private notify(problem: unknown): void {
    for (const listener of this.listeners) listener(problem);
    if (this.pendingBytes <= LOW_WATER_BYTES) this.wake();
  }

  private wake(): void {
    for (const resolve of this.waiters.splice(0)) resolve();
  }
}

/** Newlines in the streams named, together. */
export function lineCount(totals: Readonly<LogTotals>, streams: readonly LogStream[]): number {
  return streams.reduce<number>((sum, stream) => sum + (sumsOf(totals, stream)?.lines ?? 0), 0);
}

/** The log's directory, the one of all logs, and the data directory. */
function parents(path: string): string[] {
  const own = dirname(path);
  return [own, dirname(own), dirname(dirname(own))];
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, constants.O_RDONLY);
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

async function openIfThere(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, constants.O_RDWR);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

async function writeFully(file: FileHandle, pieces: Uint8Array[], position: number): Promise<void> {
  let rest = pieces;
  let at = position;
  while (rest.length > 0) {
    const { bytesWritten } = await file.writev(rest as Uint8Array<ArrayBuffer>[], at);
    at += bytesWritten;
    rest = after(rest, bytesWritten);
  }
}

/** What is left of some pieces when the first bytes of them are gone. */
function after(pieces: Uint8Array[], bytes: number): Uint8Array[] {
  let gone = bytes;
  let i = 0;
  for (; i < pieces.length; i++) {
    const { byteLength } = pieces[i] as Uint8Array;
    if (gone < byteLength) break;
    gone -= byteLength;
  }
  const rest = pieces.slice(i);
  if (gone > 0 && rest[0] !== undefined) rest[0] = rest[0].subarray(gone);
  return rest;
}

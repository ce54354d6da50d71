import { closeSync, constants, openSync, rmSync, statSync, statfsSync, writeSync } from "node:fs";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { KiB, MiB } from "../../base/text/sizes.ts";

/** Bytes of the reserve: this share of a small disk, but between these. */
const SHARE = 1 / 16;
const MOST_BYTES: number = 4 * MiB;
const LEAST_BYTES: number = 256 * KiB;
/** Bytes that are written in one go. */
const PIECE_BYTES: number = 256 * KiB;

/**
 * A file that reserves room for what must be stored although the disk is full: deletions, which make room, and orders.
 * It is removed when the room is needed, and made again when there is room for twice its size.
 */
export class Reserve {
  readonly bytes: number;
  private readonly directory: string;
  private readonly path: string;
  private held: boolean;

  constructor(directory: string) {
    this.directory = directory;
    this.path = join(directory, "reserve");
    const { blocks, bsize } = statfsSync(directory);
    this.bytes = Math.max(LEAST_BYTES, Math.min(MOST_BYTES, Math.floor(blocks * bsize * SHARE)));
    this.held = statSync(this.path, { throwIfNoEntry: false })?.size === this.bytes;
  }

  get isHeld(): boolean {
    return this.held;
  }

  /** Gives the room up. @returns false if it was given up before */
  release(): boolean {
    if (!this.held) return false;
    rmSync(this.path, { force: true });
    this.held = false;
    return true;
  }

  /**
   * Whether there is room beside the reserve for as much again; makes the reserve if it is not held. It is written, not
   * only asked for: only a write shows what a quota leaves, or whether a file can be made at all.
   */
  restore(): boolean {
    const { blocks, bfree, bavail, bsize } = statfsSync(this.directory);
    const free = (process.getuid?.() === 0 ? bfree : bavail) * bsize;
    // Some file systems do not report their size.
    if (blocks > 0 && free < (this.held ? 1 : 2) * this.bytes) return false;
    if (!this.held) return (this.held = fill(this.path, this.bytes));
    const trial = `${this.path}.trial`;
    const hasRoom = fill(trial, this.bytes);
    rmSync(trial, { force: true });
    return hasRoom;
  }
}

/** Writes a file of what no file system can make smaller. @returns whether there was room for it */
function fill(path: string, bytes: number): boolean {
  const piece = randomBytes(Math.min(PIECE_BYTES, bytes));
  try {
    const file = openSync(path, constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC, 0o600);
    try {
      for (let at = 0; at < bytes; ) at += writeSync(file, piece, 0, Math.min(piece.length, bytes - at));
    } finally {
      // Network file systems report a full disk only here.
      closeSync(file);
    }
    return true;
  } catch {
    rmSync(path, { force: true });
    return false;
  }
}

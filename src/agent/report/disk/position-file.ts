import fs from "node:fs";
import { join } from "node:path";
import { crc32 } from "../../../base/crc32.ts";
import type { LogSums } from "../log-sums.ts";
import { noSums } from "../log-sums.ts";
import { FORMAT_VERSION, refuseNewer } from "./format.ts";

const SLOT_BYTES = 256;
const CHECKSUM_AT = SLOT_BYTES - 4;
const SUMS_AT = 40;
const SUMS_BYTES = 32;

/** What is delivered and no longer on disk. */
export interface Position {
  /** Sequence up to which the lane's segments are gone. */
  readonly events: number;
  readonly logs: number;
  /** The job's result was among the events. */
  readonly result: boolean;
  /** Of the logs that are gone. */
  readonly sums: LogSums;
}

/**
 * Keeps the position in a file of two slots, written in turn before segments are removed, so that one is whole whenever
 * the agent dies.
 *
 *   | slot       |    |                                                                        |
 *   |------------|----|------------------------------------------------------------------------|
 *   | version    |  2 | 1                                                                      |
 *   | result     |  1 | 1: the result is delivered                                             |
 *   | reserved   |  5 | 0                                                                      |
 *   | generation |  8 | counts writes; the higher one counts                                   |
 *   | events     |  8 | sequence up to which the segments are gone                             |
 *   | logs       |  8 |                                                                        |
 *   | reserved   |  8 | 0                                                                      |
 *   | streams    | 96 | for stdout, stderr, agent: bytes, dropped, lines (8 each), CRC (4), 0  |
 *   | reserved   |  … | 0                                                                      |
 *   | checksum   |  4 | CRC-32 of all that                                                     |
 */
export class PositionFile {
  private readonly path: string;
  private fd: number | undefined;
  private generation = 0;

  constructor(directory: string) {
    this.path = join(directory, "position");
  }

  /** Writes it. Throws the system's error. */
  write({ events, logs, result, sums }: Position): void {
    this.fd ??= fs.openSync(this.path, fs.constants.O_RDWR | fs.constants.O_CREAT, 0o600);
    const slot = Buffer.alloc(SLOT_BYTES);
    slot.writeUInt16LE(FORMAT_VERSION, 0);
    slot.writeUInt8(result ? 1 : 0, 2);
    slot.writeBigUInt64LE(BigInt(++this.generation), 8);
    slot.writeBigUInt64LE(BigInt(events), 16);
    slot.writeBigUInt64LE(BigInt(logs), 24);
    for (const [index, { bytes, dropped, lines, crc }] of sums.entries()) {
      const at = SUMS_AT + index * SUMS_BYTES;
      slot.writeBigUInt64LE(BigInt(bytes), at);
      slot.writeBigUInt64LE(BigInt(dropped), at + 8);
      slot.writeBigUInt64LE(BigInt(lines), at + 16);
      slot.writeUInt32LE(crc, at + 24);
    }
    slot.writeUInt32LE(crc32(slot.subarray(0, CHECKSUM_AT)), CHECKSUM_AT);
    fs.writeSync(this.fd, slot, 0, SLOT_BYTES, (this.generation % 2) * SLOT_BYTES);
  }

  /**
   * Reads it.
   *
   * @returns undefined if nothing has been delivered yet, or if it cannot be read
   * @throws BelayError `SPOOL` if a newer program wrote it
   */
  read(): Position | undefined {
    let file: Buffer;
    try {
      file = fs.readFileSync(this.path);
    } catch {
      return undefined;
    }
    let newest: Position | undefined;
    for (const at of [0, SLOT_BYTES]) {
      const slot = file.subarray(at, at + SLOT_BYTES);
      if (slot.length < SLOT_BYTES || crc32(slot.subarray(0, CHECKSUM_AT)) !== slot.readUInt32LE(CHECKSUM_AT)) continue;
      refuseNewer(slot.readUInt16LE(0), this.path);
      const generation = Number(slot.readBigUInt64LE(8));
      if (generation <= this.generation) continue;
      this.generation = generation;
      newest = decode(slot);
    }
    return newest;
  }

  close(): void {
    if (this.fd !== undefined) fs.closeSync(this.fd);
    this.fd = undefined;
  }
}

function decode(slot: Buffer): Position {
  const sums = noSums();
  for (const [index, stream] of sums.entries()) {
    const at = SUMS_AT + index * SUMS_BYTES;
    stream.bytes = Number(slot.readBigUInt64LE(at));
    stream.dropped = Number(slot.readBigUInt64LE(at + 8));
    stream.lines = Number(slot.readBigUInt64LE(at + 16));
    stream.crc = slot.readUInt32LE(at + 24);
  }
  return {
    events: Number(slot.readBigUInt64LE(16)),
    logs: Number(slot.readBigUInt64LE(24)),
    result: slot.readUInt8(2) === 1,
    sums,
  };
}

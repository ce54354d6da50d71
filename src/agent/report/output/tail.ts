import { LogStream } from "../../../gen/belay/v1/job_pb.ts";

/** Most bytes of output that a failure card repeats. */
export const TAIL_BYTES = 4096;
/** One more is kept: whether the first shown byte begins a line depends on the byte before it. */
const KEPT = TAIL_BYTES + 1;
/** Room for several small writes, so that most of them are appended without moving what is there. */
const ROOM: number = 4 * KEPT;
const NEWLINE = 0x0a;

/** The end of what a step printed. */
export interface TailEnd {
  readonly stream: LogStream;
  /** At most `TAIL_BYTES`. From the start of a line, or of a character where the line is longer. */
  readonly bytes: Uint8Array;
}

/**
 * Keeps the end of what the latest step prints: of its standard error, or of its standard output for as long as standard
 * error is empty.
 *
 * It receives output without secrets, so that none can be cut in two here and remain unnoticed. At most 4 KiB of each
 * piece are copied, whatever its size.
 */
export class Tail {
  private readonly lastStep: number;
  private step = 0;
  private errors = new LastBytes();
  private prints = new LastBytes();

  /** @param lastStep number of the main command: later steps do not decide how the job ends */
  constructor(lastStep: number) {
    this.lastStep = lastStep;
  }

  add(stream: LogStream, step: number, data: Uint8Array): void {
    if (step !== this.step) {
      if (step < this.step || step > this.lastStep) return;
      this.step = step;
      this.errors = new LastBytes();
      this.prints = new LastBytes();
    }
    if (stream === LogStream.STDERR) this.errors.add(data);
    else if (stream === LogStream.STDOUT && this.errors.isEmpty) this.prints.add(data);
  }

  /** The end of the output of a step. Undefined: the step printed nothing, or is not the latest. */
  of(step: number): TailEnd | undefined {
    if (step !== this.step) return undefined;
    if (!this.errors.isEmpty) return { stream: LogStream.STDERR, bytes: this.errors.lines() };
    return this.prints.isEmpty ? undefined : { stream: LogStream.STDOUT, bytes: this.prints.lines() };
  }
}

/** The last bytes of one stream. */
class LastBytes {
  private buffer: Buffer | undefined;
  private length = 0;
  private dropped = false;

  get isEmpty(): boolean {
    return this.length === 0;
  }

  add(data: Uint8Array): void {
    const buffer = (this.buffer ??= Buffer.allocUnsafe(ROOM));
    const fresh = data.length > KEPT ? data.subarray(data.length - KEPT) : data;
    if (this.length + fresh.length > ROOM) {
      buffer.copyWithin(0, this.length + fresh.length - KEPT, this.length);
      this.length = KEPT - fresh.length;
      this.dropped = true;
    }
    if (fresh.length < data.length) this.dropped = true;
    buffer.set(fresh, this.length);
    this.length += fresh.length;
  }

  lines(): Uint8Array {
    const all = (this.buffer ?? Buffer.alloc(0)).subarray(0, this.length);
    if (all.length <= TAIL_BYTES && !this.dropped) return Uint8Array.from(all);
    const from = all.length - TAIL_BYTES;
    const before = all.indexOf(NEWLINE, from - 1);
    if (before >= 0 && before + 1 < all.length) return Uint8Array.from(all.subarray(before + 1));
    return Uint8Array.from(all.subarray(characterStart(all, from)));
  }
}

/** The first position from `at` on that does not lie within a UTF-8 character. */
function characterStart(bytes: Uint8Array, at: number): number {
  for (let i = at; i < at + 4; i++) if (((bytes[i] ?? 0) & 0xc0) !== 0x80) return i;
  return at;
}

import { MASK } from "../../../base/secrets/environment-secrets.ts";

const mask = Buffer.from(MASK);
/** One buffer for all streams: a piece has been passed on before the next one is made. */
let scratch = Buffer.allocUnsafe(64 * 1024 + mask.length);

/**
 * Joins the parts of some bytes that are passed on, with masks between them. Nothing is copied if that is one part.
 */
export class MaskedPiece {
  private readonly bytes: Uint8Array;
  private from = 0;
  private to = 0;
  private used = 0;
  private copied = false;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  /** Adds the bytes `[from, to)`. */
  plain(from: number, to: number): void {
    if (from >= to) return;
    if (!this.copied && this.to === this.from) {
      this.from = from;
      this.to = to;
      return;
    }
    this.copy();
    this.append(this.bytes, from, to);
  }

  mask(): void {
    this.copy();
    this.append(mask, 0, mask.length);
  }

  /** The result, valid until the next piece is begun. May be empty. */
  done(): Uint8Array {
    if (this.copied) return scratch.subarray(0, this.used);
    return this.from === 0 && this.to === this.bytes.length ? this.bytes : this.bytes.subarray(this.from, this.to);
  }

  private copy(): void {
    if (this.copied) return;
    this.copied = true;
    // Each match but the last lies within the bytes as a whole and is longer than its mask.
    const most = this.bytes.length + mask.length;
    if (scratch.length < most) scratch = Buffer.allocUnsafe(most);
    this.append(this.bytes, this.from, this.to);
  }

  private append(source: Uint8Array, from: number, to: number): void {
    if (to - from > 64) scratch.set(source.subarray(from, to), this.used);
    else for (let at = from; at < to; at++) scratch[this.used + at - from] = source[at] as number;
    this.used += to - from;
  }
}

/** A part of the stream: bytes that were read at one time. */
export interface HeldBytes {
  readonly bytes: Uint8Array;
  /** Position of its first byte in the stream. */
  readonly start: number;
  readonly readUnixNano: bigint;
}

/**
 * The end of the stream so far, as far as it may be the beginning of a secret. Never longer than the longest pattern.
 * Each part keeps the time at which it was read.
 */
export class HeldBack {
  private parts: HeldBytes[] = [];
  /** Bytes before this index are forgotten; they are removed several at a time, since removing one moves all others. */
  private head = 0;

  /** All parts that reach beyond `position`. */
  *from(position: number): Generator<HeldBytes> {
    let low = this.head;
    let high = this.parts.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (endOf(this.parts[middle] as HeldBytes) <= position) low = middle + 1;
      else high = middle;
    }
    for (; low < this.parts.length; low++) yield this.parts[low] as HeldBytes;
  }

  /** Keeps a copy of bytes that follow those kept already. */
  keep(bytes: Uint8Array, start: number, readUnixNano: bigint): void {
    this.parts.push({ bytes: Uint8Array.from(bytes), start, readUnixNano });
  }

  /** Forgets everything before `position`. */
  forget(position: number): void {
    const { parts } = this;
    while (this.head < parts.length && endOf(parts[this.head] as HeldBytes) <= position) this.head++;
    if (this.head * 2 >= parts.length) {
      parts.splice(0, this.head);
      this.head = 0;
    }
    const first = parts[this.head];
    if (first === undefined || first.start >= position) return;
    parts[this.head] = { ...first, bytes: first.bytes.subarray(position - first.start), start: position };
  }
}

function endOf(part: HeldBytes): number {
  return part.start + part.bytes.length;
}

/** A part of the stream: bytes that were read at one time. */
export interface HeldBytes {
  readonly bytes: Uint8Array;
  /** Position of its first byte in the stream. */
  readonly start: number;
  readonly readUnixNano: bigint;
}

/**
 * The end of the stream so far, as far as it may be the beginning of a secret. Never longer than the longest pattern.
 * Each segment keeps the time at which it was read.
 */
export class HeldBack {
  private segments: HeldBytes[] = [];
  /** Bytes before this index are forgotten; they are removed several at a time, since removing one moves all others. */
  private head = 0;

  /** All segments that reach beyond `position`. */
  *from(position: number): Generator<HeldBytes> {
    let low = this.head;
    let high = this.segments.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (endOf(this.segments[middle] as HeldBytes) <= position) low = middle + 1;
      else high = middle;
    }
    for (; low < this.segments.length; low++) yield this.segments[low] as HeldBytes;
  }

  /** Keeps a copy of bytes that follow those kept already. */
  keep(bytes: Uint8Array, start: number, readUnixNano: bigint): void {
    this.segments.push({ bytes: Uint8Array.from(bytes), start, readUnixNano });
  }

  /** Forgets everything before `position`. */
  forget(position: number): void {
    const { segments } = this;
    while (this.head < segments.length && endOf(segments[this.head] as HeldBytes) <= position) this.head++;
    if (this.head * 2 >= segments.length) {
      segments.splice(0, this.head);
      this.head = 0;
    }
    const first = segments[this.head];
    if (first === undefined || first.start >= position) return;
    segments[this.head] = { ...first, bytes: first.bytes.subarray(position - first.start), start: position };
  }
}

function endOf(segment: HeldBytes): number {
  return segment.start + segment.bytes.length;
}

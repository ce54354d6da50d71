/** Sequences acked at the front of the array before it is cut. */
const COMPACT_AT = 256;

/** Records of one lane, in memory: a queue that can be read anywhere. */
export class MemoryLane {
  /** Sequence of `records[0]`. */
  private base = 1;
  /** Index of the oldest record that is not acked. */
  private head = 0;
  private records: (Buffer | undefined)[] = [];
  private held = 0;

  /** Bytes of memory that the records hold. */
  get bytes(): number {
    return this.held;
  }

  get next(): number {
    return this.base + this.records.length;
  }

  /** Sequence of the last acked record. */
  get committed(): number {
    return this.base + this.head - 1;
  }

  get isEmpty(): boolean {
    return this.head === this.records.length;
  }

  push(frame: Buffer): void {
    this.records.push(frame);
    this.held += memoryOf(frame);
  }

  read(sequence: number): Buffer | undefined {
    return this.records[sequence - this.base];
  }

  /** Forgets the records up to a sequence and hands each to `release`. */
  ack(sequence: number, release: (frame: Buffer) => void): void {
    const end = Math.min(sequence - this.base + 1, this.records.length);
    for (; this.head < end; this.head++) {
      const frame = this.records[this.head] as Buffer;
      this.records[this.head] = undefined;
      this.held -= memoryOf(frame);
      release(frame);
    }
    if (this.head >= COMPACT_AT && this.head * 2 >= this.records.length) {
      this.records = this.records.slice(this.head);
      this.base += this.head;
      this.head = 0;
    }
  }
}

/** A frame that fills most of the memory behind it holds on to all of it; smaller ones share a pool of Node's. */
function memoryOf(frame: Buffer): number {
  return frame.length * 2 > frame.buffer.byteLength ? frame.buffer.byteLength : frame.length;
}

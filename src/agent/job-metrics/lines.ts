/** Longest line. What one `write` of this size appends is whole, whoever else appends at the same time. Bytes. */
export const MOST_LINE_BYTES = 4096;

const NEWLINE = 0x0a;

/**
 * Cuts bytes into lines, however they were cut before. Holds at most one unfinished line: of one that is too long
 * nothing is held.
 */
export class Lines {
  private readonly line: (text: string) => void;
  private readonly tooLong: () => void;
  private readonly held: Buffer = Buffer.allocUnsafe(MOST_LINE_BYTES);
  private length = 0;
  /** Within a line that is too long. */
  private skipping = false;

  /**
   * @param line takes each line, without its newline
   * @param tooLong told of each that is left out
   */
  constructor(line: (text: string) => void, tooLong: () => void) {
    this.line = line;
    this.tooLong = tooLong;
  }

  /** Whether no line is unfinished. */
  get isEmpty(): boolean {
    return this.length === 0;
  }

  write(bytes: Buffer): void {
    for (let from = 0; from < bytes.length; ) {
      const newline = bytes.indexOf(NEWLINE, from);
      const to = newline < 0 ? bytes.length : newline;
      if (newline >= 0 && this.length === 0 && !this.skipping && to - from <= MOST_LINE_BYTES) {
        this.line(bytes.toString("utf8", from, to));
      } else {
        this.hold(bytes.subarray(from, to));
        if (newline >= 0) this.finish();
      }
      from = to + 1;
    }
  }

  /** What is there without a newline is a line: nothing will be added to it. */
  finish(): void {
    const { length, skipping } = this;
    this.length = 0;
    this.skipping = false;
    if (!skipping) this.line(this.held.toString("utf8", 0, length));
  }

  /** Forgets what is unfinished: what comes next is the start of a line. */
  drop(): void {
    this.length = 0;
    this.skipping = false;
  }

  /** Leaves out all up to the next newline: bytes before it are missing. */
  tear(): void {
    this.length = 0;
    this.skipping = true;
  }

  private hold(part: Buffer): void {
    if (this.skipping) return;
    if (this.length + part.length > MOST_LINE_BYTES) {
      this.tear();
      this.tooLong();
      return;
    }
    part.copy(this.held, this.length);
    this.length += part.length;
  }
}

/** Longest line. One `write` of this size is appended whole, also while other processes append. Bytes. */
export const MOST_LINE_BYTES = 4096;

const NEWLINE = 0x0a;

/**
 * Splits a stream of bytes into lines, wherever its chunks end. Holds at most one unfinished line, and nothing of a
 * line that is too long.
 */
export class Lines {
  private readonly line: (text: string) => void;
  private readonly tooLong: () => void;
  private readonly held: Buffer = Buffer.allocUnsafe(MOST_LINE_BYTES);
  private length = 0;
  /** Whether the current line is too long. */
  private skipping = false;

  /**
   * @param line called with each line, without its newline
   * @param tooLong called for each line that is skipped
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
        this.append(bytes.subarray(from, to));
        if (newline >= 0) this.finish();
      }
      from = to + 1;
    }
  }

  /** Treats an unfinished line as a line: no more bytes will follow. */
  finish(): void {
    const { length, skipping } = this;
    this.length = 0;
    this.skipping = false;
    if (!skipping) this.line(this.held.toString("utf8", 0, length));
  }

  /** Discards an unfinished line: the next bytes start a new line. */
  drop(): void {
    this.length = 0;
    this.skipping = false;
  }

  /** Skips everything up to the next newline: bytes of that line are missing. */
  skipLine(): void {
    this.length = 0;
    this.skipping = true;
  }

  private append(part: Buffer): void {
    if (this.skipping) return;
    if (this.length + part.length > MOST_LINE_BYTES) {
      this.skipLine();
      this.tooLong();
      return;
    }
    part.copy(this.held, this.length);
    this.length += part.length;
  }
}

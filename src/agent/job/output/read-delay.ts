/** A read that comes so soon after the one before, in milliseconds, belongs to a dense run of them. */
const SOON_MS = 0.15;
/** So many reads in a row, each soon after the one before, are a dense run. */
const MANY = 16;
/** How long the agent sleeps in such a run, in milliseconds: a pipe of 64 KiB takes 300 MB/s meanwhile. */
const NAP_MS = 0.2;

/**
 * Lets small writes of a job gather in its pipe. A job that prints a few kilobytes at a time, or each line by itself,
 * would wake the agent for each of its writes, tens of thousands of times a second; either pays for that, and on a machine
 * that is full, so does the tracker. The agent sleeps a moment after each read instead, and finds tens of kilobytes.
 *
 * It sleeps in the event loop, since timers know no fraction of a millisecond. Output that is sparse is read at once.
 */
export class ReadDelay {
  private readonly much: number;
  private readonly cell = new Int32Array(new SharedArrayBuffer(4));
  private lastRead = 0;
  private inRow = 0;

  /** @param pipe bytes that a pipe holds: whoever fills it soon is not to wait */
  constructor(pipe: number) {
    this.much = (pipe * 3) / 4;
  }

  /** To be called when what was read has been dealt with. */
  afterRead(bytes: number): void {
    const now = performance.now();
    this.inRow = now - this.lastRead < SOON_MS ? this.inRow + 1 : 0;
    if (this.inRow >= MANY && bytes < this.much) Atomics.wait(this.cell, 0, 0, NAP_MS);
    this.lastRead = performance.now();
  }
}

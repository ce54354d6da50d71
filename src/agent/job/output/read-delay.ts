/** A read that comes this soon after the one before belongs to a dense run of reads. Milliseconds. */
const SOON_MS = 0.15;
/** This many reads in a row, each soon after the one before, are a dense run. */
const DENSE_RUN_READS = 16;
/** How long the agent sleeps in such a run, in milliseconds: a pipe of 64 KiB takes 300 MB/s meanwhile. */
const SLEEP_MS = 0.2;

/**
 * Lets small writes of a job gather in its pipe. A job that prints a few kilobytes at a time, or each line by itself,
 * would wake the agent for each of its writes, tens of thousands of times a second; both pay for that, and on a busy
 * machine the tracker does, too. Instead the agent sleeps for a moment after each read, and then finds tens of kilobytes.
 *
 * It sleeps in the event loop, since timers have no fractions of a millisecond. Sparse output is read at once.
 */
export class ReadDelay {
  /** A read of this many bytes shows that the job nearly fills its pipe. */
  private readonly nearlyFull: number;
  private readonly cell = new Int32Array(new SharedArrayBuffer(4));
  private lastRead = 0;
  private denseReads = 0;

  /** @param pipe bytes that a pipe holds: a job that could fill it soon is not delayed */
  constructor(pipe: number) {
    this.nearlyFull = (pipe * 3) / 4;
  }

  /** Must be called when the bytes of a read have been handled. */
  afterRead(bytes: number): void {
    const now = performance.now();
    this.denseReads = now - this.lastRead < SOON_MS ? this.denseReads + 1 : 0;
    if (this.denseReads >= DENSE_RUN_READS && bytes < this.nearlyFull) Atomics.wait(this.cell, 0, 0, SLEEP_MS);
    this.lastRead = performance.now();
  }
}

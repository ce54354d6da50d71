import { systemClock } from "../../../base/clock.ts";
import type { LogStream } from "../../../gen/belay/v1/job_pb.ts";
import { PipeReader } from "./pipe-reader.ts";
import type { JobHandlers } from "../types.ts";

/**
 * Everything the job prints, from all pipes of all steps, in the order of reading. While the handler is full, no pipe is
 * read, so that in the end the job waits, too.
 */
export class JobOutput {
  private readonly handlers: Pick<JobHandlers, "output">;
  private readonly readers = new Set<PipeReader>();
  private full = false;
  private readyToGoOn: (() => void)[] = [];
  private lastMove = performance.now();
  /** Bytes read so far. */
  bytes = 0;

  constructor(handlers: Pick<JobHandlers, "output">) {
    this.handlers = handlers;
  }

  /** Whether the handler wants no more for now. */
  get isFull(): boolean {
    return this.full;
  }

  /** Milliseconds since the last byte was read. 0 while the handler is full: then the job is not what is silent. */
  get stillFor(): number {
    return this.full ? 0 : performance.now() - this.lastMove;
  }

  /** @param onEnd called at once when the last writer has closed the pipe */
  add(stream: LogStream, step: number, readEnd: number, onEnd?: () => void): void {
    this.lastMove = performance.now();
    const accept = (data: Uint8Array): boolean => {
      this.lastMove = performance.now();
      this.bytes += data.length;
      if (this.handlers.output(stream, step, data, systemClock.unixNano())) return true;
      this.stop();
      return false;
    };
    const reader = new PipeReader(readEnd, accept, onEnd);
    this.readers.add(reader);
    if (this.full) reader.pause();
    void reader.closed.then(() => this.readers.delete(reader));
  }

  resume(): void {
    if (!this.full) return;
    this.full = false;
    this.lastMove = performance.now();
    for (const reader of this.readers) reader.resume();
    for (const go of this.readyToGoOn.splice(0)) go();
  }

  /** Whether every pipe has ended. */
  get ended(): boolean {
    return [...this.readers].every((reader) => reader.ended);
  }

  /** Resolves when every pipe has ended. */
  async whenEnded(): Promise<void> {
    await Promise.all([...this.readers].map((reader) => reader.closed));
  }

  /** Reads everything that the pipes hold at this moment, and waits for the handler where it is full. */
  async drain(signal: AbortSignal): Promise<void> {
    for (;;) {
      const full = [...this.readers].some((reader) => reader.drain() === "full");
      if (!full || signal.aborted) return;
      await this.waitForRoom(signal);
    }
  }

  /** Stops reading. What is still in the pipes is lost. */
  close(): void {
    for (const reader of this.readers) reader.close();
  }

  private stop(): void {
    this.full = true;
    for (const reader of this.readers) reader.pause();
  }

  private waitForRoom(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (!this.full || signal.aborted) {
        resolve();
        return;
      }
      const done = (): void => {
        signal.removeEventListener("abort", done);
        resolve();
      };
      signal.addEventListener("abort", done, { once: true });
      this.readyToGoOn.push(done);
    });
  }
}

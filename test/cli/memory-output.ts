import type { Output } from "../../src/cli/process/io.ts";

/** An output that keeps what is written. */
export class MemoryOutput implements Output {
  isTerminal = false;
  color = false;
  columns = 80;
  rows = 24;
  waiting = 0;
  problem = undefined;
  private readonly reader = new AbortController();
  private readonly pieces: Buffer[] = [];

  get gone(): AbortSignal {
    return this.reader.signal;
  }

  /** What was written; each byte is one character. */
  get text(): string {
    return Buffer.concat(this.pieces).toString("latin1");
  }

  write(data: string | Uint8Array): Promise<void> {
    this.pieces.push(Buffer.from(data as Uint8Array));
    return Promise.resolve();
  }

  flush(): Promise<void> {
    return Promise.resolve();
  }

  givenUp = false;

  giveUp(): void {
    this.givenUp = true;
    this.reader.abort();
  }

  /** The reader goes away. */
  leave(): void {
    this.reader.abort();
  }
}

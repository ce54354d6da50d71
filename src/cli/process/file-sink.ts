import { writeSync } from "node:fs";

/**
 * An open file, with the part of the stream interface that an output needs. A write has written everything, or failed,
 * when it returns: Node's own stream loses the rest of a write that a full disk cuts short.
 */
export class FileSink {
  readonly writableLength = 0;
  private readonly fd: number;
  private failed: (error: Error) => void = () => undefined;

  constructor(fd: number) {
    this.fd = fd;
  }

  /** Sets the one listener, for errors. There are no other events: a file always has room. */
  on(event: string, listener: (error: Error) => void): void {
    if (event === "error") this.failed = listener;
  }

  off(): void {}

  write(data: string | Uint8Array, done?: () => void): boolean {
    const bytes = typeof data === "string" ? Buffer.from(data) : data;
    try {
      for (let at = 0; at < bytes.length; ) at += writeSync(this.fd, bytes, at);
    } catch (error) {
      this.failed(error as Error);
    }
    done?.();
    return true;
  }
}

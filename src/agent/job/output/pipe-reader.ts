import fs from "node:fs";
import { Socket } from "node:net";
import { errnoOf } from "../../../base/errors.ts";
import { ReadDelay } from "./read-delay.ts";

/** As much as a pipe holds. One buffer serves all pipes: what is read is passed on before the next read. */
const buffer = Buffer.allocUnsafe(64 * 1024);

const readDelay = new ReadDelay(buffer.length);

/** What happened when a pipe was read without waiting. */
export type DrainOutcome =
  /** Every writer has closed it. */
  | "ended"
  /** Nothing is in it now. */
  | "empty"
  /** `accept` wants no more for now. */
  | "full";

/**
 * Reads one pipe as fast as `accept` allows. Each piece is valid during the call; nothing is kept, and nothing allocated
 * but the view.
 */
export class PipeReader {
  /** Resolves when every writer has closed the pipe, or after `close`. */
  readonly closed: Promise<void>;
  ended = false;
  private paused = false;
  private readonly fd: number;
  private readonly accept: (data: Uint8Array) => boolean;
  private readonly onEnd: (() => void) | undefined;
  private readonly socket: Socket;

  /**
   * @param fd non-blocking read end, closed by this reader
   * @param accept returns false to stop the reading until `resume`
   * @param onEnd called at once when the last writer has closed the pipe, before the event loop turns
   */
  constructor(fd: number, accept: (data: Uint8Array) => boolean, onEnd?: () => void) {
    this.fd = fd;
    this.accept = accept;
    this.onEnd = onEnd;
    // On one and the same buffer the socket reads without allocating (Node's `onread`).
    this.socket = new Socket({
      fd,
      readable: true,
      writable: false,
      onread: {
        buffer,
        callback: (length, data) => {
          const more = this.accept((data as Buffer).subarray(0, length));
          if (!more) this.paused = true;
          else readDelay.afterRead(length);
          return more && !this.paused;
        },
      },
    });
    this.closed = new Promise((resolve) => {
      this.socket.once("close", () => {
        this.ended = true;
        resolve();
      });
    });
    if (onEnd !== undefined) this.socket.once("end", onEnd);
    this.socket.on("error", () => this.socket.destroy());
    this.socket.resume();
  }

  pause(): void {
    if (this.paused) return;
    this.paused = true;
    this.socket.pause();
  }

  resume(): void {
    if (!this.paused || this.ended) return;
    this.paused = false;
    this.socket.resume();
  }

  /** Reads what is in the pipe at this moment. */
  drain(): DrainOutcome {
    while (!this.ended) {
      if (this.paused) return "full";
      let length: number;
      try {
        length = fs.readSync(this.fd, buffer, 0, buffer.length, null);
      } catch (error) {
        if (errnoOf(error) === "EAGAIN") return "empty";
        length = 0;
      }
      if (length === 0) {
        this.onEnd?.();
        this.close();
        break;
      }
      if (!this.accept(buffer.subarray(0, length))) this.pause();
    }
    return "ended";
  }

  /** Stops reading. */
  close(): void {
    this.ended = true;
    this.socket.destroy();
  }
}

import type { Clock } from "../../base/clock.ts";
import type { Spool } from "../report/spool.ts";
import type { SessionCall } from "./dial.ts";
import { InFlightWindow } from "./window.ts";

/**
 * Writes records of the spool to one stream, beginning with the first that is not committed: events before the heartbeat
 * before logs, at every turn. Stops when the stream is full, and continues when it drains.
 */
export class SendLoop {
  private readonly call: SessionCall;
  private readonly spool: Spool;
  private readonly clock: Clock;
  private readonly window: InFlightWindow;
  private nextEvent: number;
  private nextLog: number;
  private heartbeat: Buffer | undefined;
  /** The stream is full until it drains. */
  private full = false;
  /** A record is being fetched from disk. */
  private fetching = false;
  private stopped = false;

  constructor(call: SessionCall, spool: Spool, clock: Clock, maxInFlight: number) {
    this.call = call;
    this.spool = spool;
    this.clock = clock;
    this.window = new InFlightWindow(maxInFlight);
    this.nextEvent = spool.committed("events") + 1;
    this.nextLog = spool.committed("logs") + 1;
    call.on("drain", () => {
      this.full = false;
      this.pump();
    });
  }

  /** Sends a heartbeat before any more logs. A newer one replaces one that still waits. */
  beat(heartbeat: Buffer): void {
    this.heartbeat = heartbeat;
    this.pump();
  }

  /** The tracker has committed the logs up to a sequence. */
  acked(logs: number): void {
    this.window.acked(logs, this.clock.monotonic());
    this.pump();
  }

  /** Sends what can be sent. */
  pump(): void {
    while (!this.full && !this.fetching && !this.stopped && this.sendOne());
  }

  stop(): void {
    this.stopped = true;
  }

  private sendOne(): boolean {
    const event = this.spool.read("events", this.nextEvent);
    if (event !== undefined) {
      return this.sendRecord(event, () => this.nextEvent++);
    }
    if (this.heartbeat !== undefined) {
      const heartbeat = this.heartbeat;
      this.heartbeat = undefined;
      this.write(heartbeat);
      return true;
    }
    if (!this.window.open) return false;
    const log = this.spool.read("logs", this.nextLog);
    if (log === undefined) return false;
    return this.sendRecord(log, (frame) => this.window.sent(this.nextLog++, frame.length, this.clock.monotonic()));
  }

  private sendRecord(record: Buffer | Promise<Buffer>, sent: (frame: Buffer) => void): boolean {
    if (Buffer.isBuffer(record)) {
      sent(record);
      this.write(record);
      return true;
    }
    this.fetching = true;
    record.then(
      (frame) => {
        this.fetching = false;
        if (this.stopped) return;
        sent(frame);
        this.write(frame);
        this.pump();
      },
      (error: unknown) => this.call.destroy(error as Error),
    );
    return false;
  }

  private write(frame: Buffer): void {
    if (!this.call.write(frame)) this.full = true;
  }
}

import { KiB, MiB } from "../../base/text/sizes.ts";

/** The least that may be unacknowledged, whatever the path: two full batches. */
const MIN_WINDOW = 128 * KiB;
/** Most bytes that may be unacknowledged, unless the tracker says less. */
export const MAX_WINDOW: number = 4 * MiB;
/** A batch should be acknowledged within this time, in milliseconds: what is sent before it delays a heartbeat. */
const TARGET_DELAY = 1000;

/** A batch on its way. */
interface SentBatch {
  readonly sequence: number;
  readonly bytes: number;
  /** Milliseconds. */
  readonly sentAt: number;
  /** Bytes that were on their way when it was sent, itself included. */
  readonly inFlight: number;
}

/**
 * Decides how many bytes of logs may be on their way without an ack.
 *
 * Bytes handed to the kernel cannot be overtaken: 4 MiB in its buffers delay a heartbeat by 32 s at 1 Mbit/s. So the
 * window follows what the path delivers: it doubles while acks are prompt, and falls to what was acknowledged in one
 * target delay when they are not. A batch that was alone on the path shows nothing about its capacity: the
 * window does not double, however prompt its ack.
 */
export class InFlightWindow {
  private size = MIN_WINDOW * 2;
  private readonly max: number;
  private readonly sentBatches: SentBatch[] = [];
  private head = 0;
  private bytes = 0;
  private limited = false;

  constructor(max: number = MAX_WINDOW) {
    this.max = Math.max(MIN_WINDOW, max);
  }

  get inFlight(): number {
    return this.bytes;
  }

  /** Whether another batch may be sent. */
  get open(): boolean {
    const open = this.bytes < this.size;
    if (!open) this.limited = true;
    return open;
  }

  sent(sequence: number, bytes: number, now: number): void {
    this.bytes += bytes;
    this.sentBatches.push({ sequence, bytes, sentAt: now, inFlight: this.bytes });
  }

  acked(sequence: number, now: number): void {
    let newest: SentBatch | undefined;
    let acked = 0;
    for (; this.head < this.sentBatches.length; this.head++) {
      const batch = this.sentBatches[this.head];
      if (batch === undefined || batch.sequence > sequence) break;
      acked += batch.bytes;
      newest = batch;
    }
    this.bytes -= acked;
    if (this.head > 256) {
      this.sentBatches.splice(0, this.head);
      this.head = 0;
    }
    if (newest !== undefined) this.adapt(now - newest.sentAt, newest.inFlight);
  }

  private adapt(delay: number, inFlight: number): void {
    if (delay > TARGET_DELAY) {
      this.size = Math.max(MIN_WINDOW, Math.round((this.size * TARGET_DELAY) / delay));
    } else if (this.limited && inFlight >= this.size / 2 && delay < TARGET_DELAY / 2) {
      this.size = Math.min(this.max, this.size * 2);
    }
    this.limited = false;
  }
}

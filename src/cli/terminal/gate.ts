/** The probe (DSR, `CSI 5 n`): the terminal answers `CSI 0 n` when it has drawn everything sent before it. */
export const PROBE = "\u001b[5n";

/** A terminal that has not answered its first probe by then never will: even at 2 kB/s it arrives in milliseconds. */
const FIRST_ANSWER_MS = 1_000;
/** After this time an answer counts as lost. */
const LATE_MS = 10_000;

/** How long the terminal should take to draw a frame: the effect of a key waits for the frame before it. */
const FRAME_MS = 250;
/** Bounds of a frame's size, in characters. */
const LEAST_FRAME = 512;
const MOST_FRAME = 65_536;
const FIRST_FRAME = 4_096;

/**
 * Decides when the next frame may be sent: when the terminal has drawn the one before. The kernel and the network would
 * buffer much more than a frame, and the terminal draws everything buffered first, however old it is. A terminal that
 * does not answer probes is assumed to draw what is written. A frame is as large as the terminal draws in a quarter of
 * a second.
 */
export class Gate {
  private answers = 0;
  private probes = 0;
  private startMs = -Infinity;
  private sentMs = -Infinity;
  private size = FIRST_FRAME;

  /** Most characters of a frame. */
  get frameSize(): number {
    return this.size;
  }

  /** Must be called when a probe is sent. */
  sent(nowMs: number): void {
    if (this.probes === 0) this.startMs = nowMs;
    this.probes++;
    this.sentMs = nowMs;
  }

  /** Must be called when the terminal has answered a probe. */
  answered(nowMs: number): void {
    this.answers = Math.min(this.answers + 1, this.probes);
    if (this.answers < this.probes) return;
    const tookMs = nowMs - this.sentMs;
    if (tookMs > FRAME_MS) this.size = Math.max(LEAST_FRAME, Math.round((this.size * FRAME_MS) / tookMs));
    else if (tookMs < FRAME_MS / 2) this.size = Math.min(MOST_FRAME, this.size * 2);
  }

  /** Whether an answer is expected: the terminal has answered before, or its first answer is not late yet. */
  awaitsAnswer(nowMs: number): boolean {
    return this.answers < this.probes && (this.answers > 0 || nowMs < this.startMs + FIRST_ANSWER_MS);
  }

  /** Milliseconds until a frame may be sent if no answer comes. 0: it may be sent now. */
  closedFor(nowMs: number): number {
    if (this.answers >= this.probes) return 0;
    const untilMs = this.answers === 0 ? this.startMs + FIRST_ANSWER_MS : this.sentMs + LATE_MS;
    if (nowMs < untilMs) return untilMs - nowMs;
    // The lost answer counts as received, so that it does not delay every later frame.
    if (this.answers > 0) this.answers = this.probes;
    return 0;
  }
}

/** Asks the terminal to answer when it has come this far: DSR, `CSI 5 n`, answered with `CSI 0 n`. */
export const PROBE = "\u001b[5n";

/** A terminal that has not answered its first probe by then never will: a link of 2 kB/s carries it in milliseconds. */
const FIRST_ANSWER_MS = 1_000;
/** An answer that is this late is not waited for any more; it may have been lost. */
const LATE_MS = 10_000;

/** How long the terminal should need for a frame: so long a key waits for what was sent before it. */
const FRAME_MS = 250;
/** Bounds of what is sent at one time, in characters. */
const LEAST_FRAME = 512;
const MOST_FRAME = 65_536;
const FIRST_FRAME = 4_096;

/**
 * Says when the next frame may be sent: when the terminal has drawn the one before. Kernel and network take much more
 * than that without a word, and what they hold is drawn first, however old it is by then. A terminal that does not
 * answer probes is trusted to draw what is written. Frames are made as large as the terminal draws in a quarter of a
 * second.
 */
export class Gate {
  private answers = 0;
  private probes = 0;
  private startMs = -Infinity;
  private sentMs = -Infinity;
  private size = FIRST_FRAME;

  /** Characters that a frame may have. */
  get frameSize(): number {
    return this.size;
  }

  /** A probe goes out. */
  sent(nowMs: number): void {
    if (this.probes === 0) this.startMs = nowMs;
    this.probes++;
    this.sentMs = nowMs;
  }

  /** The terminal has answered one. */
  answered(nowMs: number): void {
    this.answers = Math.min(this.answers + 1, this.probes);
    if (this.answers < this.probes) return;
    const tookMs = nowMs - this.sentMs;
    if (tookMs > FRAME_MS) this.size = Math.max(LEAST_FRAME, Math.round((this.size * FRAME_MS) / tookMs));
    else if (tookMs < FRAME_MS / 2) this.size = Math.min(MOST_FRAME, this.size * 2);
  }

  /** Whether an answer is still to come, from a terminal that gives them, or is new to us. */
  waits(nowMs: number): boolean {
    return this.answers < this.probes && (this.answers > 0 || nowMs < this.startMs + FIRST_ANSWER_MS);
  }

  /** Milliseconds until a frame may be sent if no answer comes. 0: it may be sent now. */
  closedFor(nowMs: number): number {
    if (this.answers >= this.probes) return 0;
    const untilMs = this.answers === 0 ? this.startMs + FIRST_ANSWER_MS : this.sentMs + LATE_MS;
    if (nowMs < untilMs) return untilMs - nowMs;
    // From now on it counts as answered, so that one lost answer does not delay every frame to come.
    if (this.answers > 0) this.answers = this.probes;
    return 0;
  }
}

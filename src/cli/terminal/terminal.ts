import type { ReadStream, WriteStream } from "node:tty";
import type { Timer } from "../../base/clock.ts";
import { sleep, systemClock } from "../../base/clock.ts";
import { Gate, PROBE } from "./gate.ts";
import type { Input } from "./keys.ts";
import { KeyDecoder } from "./keys.ts";
import { SlowWriter } from "./slow-writer.ts";

/** A screen's size, in characters. */
export interface Size {
  readonly columns: number;
  readonly rows: number;
}

/** Alternate screen, no cursor, no wrapping at the edge, bracketed paste. */
const ENTER = "\u001b[?1049h\u001b[?25l\u001b[?7l\u001b[?2004h";
const LEAVE = "\u001b[m\u001b[?2004l\u001b[?7h\u001b[?25h\u001b[?1049l";
/** An Escape after which no byte follows for this time is the key. */
const ESCAPE_MS = 60;
/** Longest wait, when leaving, for an answer that would otherwise appear at the shell's prompt. */
const LAST_ANSWER_MS = 500;
const POLL_MS = 5;
/** Continues after this time if SIGTSTP did not stop us: the kernel ignores it if no shell could continue us. */
const NOT_STOPPED_MS = 300;

/** Receives the events of a terminal. */
export interface TerminalListener {
  onKey(name: string): void;
  /** The size has changed, or it is unknown what the terminal shows: everything must be drawn again. */
  onRedraw(): void;
  /** The next frame may be sent. */
  onOpen(): void;
  /** The terminal is gone. */
  onGone(): void;
}

/**
 * The terminal in raw mode and on its alternate screen. However this program ends, except by SIGKILL, the terminal is
 * restored.
 */
export class Terminal {
  private readonly stdin: ReadStream;
  private readonly stdout: WriteStream;
  private readonly listener: TerminalListener;
  private readonly keys = new KeyDecoder();
  private readonly gate = new Gate();
  private readonly writer: SlowWriter;
  private escape: Timer | undefined;
  private opening: Timer | undefined;
  private ours = false;
  /** Since when no more frames are sent, because the terminal will be restored. */
  private leaving: number | undefined;

  constructor(stdin: ReadStream, stdout: WriteStream, listener: TerminalListener) {
    this.stdin = stdin;
    this.stdout = stdout;
    this.listener = listener;
    this.writer = new SlowWriter(
      () => this.notifyWhenOpen(),
      () => listener.onGone(),
    );
    stdin.on("data", this.receive);
    stdin.on("end", () => listener.onGone());
    stdin.on("error", () => listener.onGone());
    stdout.on("resize", this.resized);
    process.on("SIGTSTP", this.suspend);
    process.on("SIGCONT", this.resume);
    process.on("exit", this.restore);
    this.enter();
  }

  get size(): Size {
    return { columns: Math.max(20, this.stdout.columns), rows: Math.max(6, this.stdout.rows) };
  }

  /** Whether a frame may be sent. If not, `onOpen` is called when it may. */
  get isOpen(): boolean {
    return this.ours && this.leaving === undefined && !this.writer.busy && this.gate.closedFor(performance.now()) === 0;
  }

  /** About how many characters a frame may have: as many as the terminal draws in a quarter of a second. */
  get frameSize(): number {
    return this.gate.frameSize;
  }

  /** Sends a frame. To be called only while `isOpen`. */
  send(frame: string): void {
    this.gate.sent(performance.now());
    this.writer.write(frame + PROBE);
    this.notifyWhenOpen();
  }

  /** Stops this program until the shell continues it. Meanwhile the shell has the terminal. */
  readonly suspend = (): void => {
    if (!this.ours) return;
    this.leaving ??= performance.now();
    if (!this.hasNoAnswerDue) {
      systemClock.after(POLL_MS, this.suspend);
      return;
    }
    this.restore();
    process.off("SIGTSTP", this.suspend);
    // The whole group: a process that started us and waits must stop as well.
    process.kill(0, "SIGTSTP");
    systemClock.after(NOT_STOPPED_MS, () => {
      if (!this.ours) this.resume();
    });
  };

  /** Restores the terminal. */
  async close(): Promise<void> {
    process.off("SIGTSTP", this.suspend);
    process.off("SIGCONT", this.resume);
    this.stdout.off("resize", this.resized);
    this.leaving ??= performance.now();
    while (this.ours && !this.hasNoAnswerDue) await sleep(POLL_MS);
    this.opening?.cancel();
    this.escape?.cancel();
    this.stdin.off("data", this.receive);
    this.stdin.pause();
    this.restore();
    process.off("exit", this.restore);
    this.writer.close();
  }

  /** Whether no more answer is expected: the shell would read an answer that comes later. */
  private get hasNoAnswerDue(): boolean {
    const nowMs = performance.now();
    return !this.gate.awaitsAnswer(nowMs) || nowMs > (this.leaving ?? nowMs) + LAST_ANSWER_MS;
  }

  private enter(): void {
    this.leaving = undefined;
    // Twice: Node does nothing if it assumes that the mode is set already.
    this.stdin.setRawMode(false);
    this.stdin.setRawMode(true);
    this.stdin.resume();
    this.ours = true;
    this.writer.write(ENTER);
  }

  private readonly restore = (): void => {
    if (!this.ours) return;
    this.ours = false;
    this.writer.writeLast(LEAVE);
    this.stdin.setRawMode(false);
  };

  private readonly resume = (): void => {
    process.off("SIGTSTP", this.suspend);
    process.on("SIGTSTP", this.suspend);
    // Also after a SIGSTOP, which cannot be caught: the shell has changed the terminal's mode.
    this.enter();
    this.listener.onRedraw();
  };

  private readonly resized = (): void => this.listener.onRedraw();

  private readonly receive = (data: Buffer): void => {
    this.escape?.cancel();
    this.dispatch(this.keys.push(data));
    if (this.keys.holdsEscape) this.escape = systemClock.after(ESCAPE_MS, () => this.dispatch(this.keys.flush()));
  };

  private dispatch(inputs: readonly Input[]): void {
    for (const input of inputs) {
      if (input.kind === "key") this.listener.onKey(input.name);
      else {
        this.gate.answered(performance.now());
        this.notifyWhenOpen();
      }
    }
  }

  /** Notifies the listener as soon as a frame may be sent. */
  private notifyWhenOpen(): void {
    this.opening?.cancel();
    if (!this.ours || this.writer.busy) return;
    const closedMs = this.gate.closedFor(performance.now());
    this.opening = systemClock.after(closedMs, () => (this.isOpen ? this.listener.onOpen() : this.notifyWhenOpen()));
  }
}

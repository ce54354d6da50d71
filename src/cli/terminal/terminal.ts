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

/** Other screen, no cursor, no wrapping at the edge, pastes marked as such. */
const ENTER = "\u001b[?1049h\u001b[?25l\u001b[?7l\u001b[?2004h";
const LEAVE = "\u001b[m\u001b[?2004l\u001b[?7h\u001b[?25h\u001b[?1049l";
/** An Escape that nothing follows for so long is the key. */
const ESCAPE_MS = 60;
/** Longest wait, when leaving, for an answer that would else appear at the shell's prompt. */
const LAST_ANSWER_MS = 500;
const POLL_MS = 5;
/** A process that stopped itself and was not stopped, since nobody could have continued it, goes on after this. */
const NOT_STOPPED_MS = 300;

/** What the terminal tells. */
export interface TerminalListener {
  onKey(name: string): void;
  /** The size is another, or what is shown is not known any more: all must be drawn again. */
  onRedraw(): void;
  /** The next frame may be sent. */
  onOpen(): void;
  /** The terminal is there no more. */
  onGone(): void;
}

/**
 * The terminal while it is ours: raw keys, the other screen. However this program ends, short of SIGKILL, the terminal
 * is given back as it was.
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
  /** Since when no more frames are sent, since the terminal is to be given back. */
  private leaving: number | undefined;

  constructor(stdin: ReadStream, stdout: WriteStream, listener: TerminalListener) {
    this.stdin = stdin;
    this.stdout = stdout;
    this.listener = listener;
    this.writer = new SlowWriter(
      () => this.whenOpen(),
      () => listener.onGone(),
    );
    stdin.on("data", this.take);
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

  /** Whether a frame may be sent. If not, `onOpen` says when. */
  get isOpen(): boolean {
    return this.ours && this.leaving === undefined && !this.writer.busy && this.gate.closedFor(performance.now()) === 0;
  }

  /** Characters that a frame may have, about: as many as the terminal draws in a moment. */
  get frameSize(): number {
    return this.gate.frameSize;
  }

  /** Sends a frame. Only while it is open. */
  send(frame: string): void {
    this.gate.sent(performance.now());
    this.writer.write(frame + PROBE);
    this.whenOpen();
  }

  /** Stops this program until the shell continues it; the terminal is the shell's meanwhile. */
  readonly suspend = (): void => {
    if (!this.ours) return;
    this.leaving ??= performance.now();
    if (!this.isQuiet) {
      systemClock.after(POLL_MS, this.suspend);
      return;
    }
    this.restore();
    process.off("SIGTSTP", this.suspend);
    // The whole group: whoever started us and waits is to stop as well.
    process.kill(0, "SIGTSTP");
    systemClock.after(NOT_STOPPED_MS, () => {
      if (!this.ours) this.resume();
    });
  };

  /** Gives the terminal back. */
  async close(): Promise<void> {
    process.off("SIGTSTP", this.suspend);
    process.off("SIGCONT", this.resume);
    this.stdout.off("resize", this.resized);
    this.leaving ??= performance.now();
    while (this.ours && !this.isQuiet) await sleep(POLL_MS);
    this.opening?.cancel();
    this.escape?.cancel();
    this.stdin.off("data", this.take);
    this.stdin.pause();
    this.restore();
    process.off("exit", this.restore);
    this.writer.close();
  }

  /** Whether the terminal has answered everything, or will not any more: what comes later the shell would read. */
  private get isQuiet(): boolean {
    const nowMs = performance.now();
    return !this.gate.waits(nowMs) || nowMs > (this.leaving ?? nowMs) + LAST_ANSWER_MS;
  }

  private enter(): void {
    this.leaving = undefined;
    // Twice: Node does nothing if it believes that the mode is the right one already.
    this.stdin.setRawMode(false);
    this.stdin.setRawMode(true);
    this.stdin.resume();
    this.ours = true;
    this.writer.write(ENTER);
  }

  private readonly restore = (): void => {
    if (!this.ours) return;
    this.ours = false;
    this.writer.insist(LEAVE);
    this.stdin.setRawMode(false);
  };

  private readonly resume = (): void => {
    process.off("SIGTSTP", this.suspend);
    process.on("SIGTSTP", this.suspend);
    // After a SIGSTOP, too, which nobody is told of: the shell has set the terminal as it likes it.
    this.enter();
    this.listener.onRedraw();
  };

  private readonly resized = (): void => this.listener.onRedraw();

  private readonly take = (data: Buffer): void => {
    this.escape?.cancel();
    this.pass(this.keys.push(data));
    if (this.keys.waits) this.escape = systemClock.after(ESCAPE_MS, () => this.pass(this.keys.flush()));
  };

  private pass(inputs: readonly Input[]): void {
    for (const input of inputs) {
      if (input.kind === "key") this.listener.onKey(input.name);
      else {
        this.gate.answered(performance.now());
        this.whenOpen();
      }
    }
  }

  /** Tells the listener now, or when it may be. */
  private whenOpen(): void {
    this.opening?.cancel();
    if (!this.ours || this.writer.busy) return;
    const closedMs = this.gate.closedFor(performance.now());
    this.opening = systemClock.after(closedMs, () => (this.isOpen ? this.listener.onOpen() : this.whenOpen()));
  }
}

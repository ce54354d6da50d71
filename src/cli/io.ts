import type { Readable, Writable } from "node:stream";
import { isatty } from "node:tty";

/** One of the program's outputs. */
export interface Output {
  /** Whether a person looks at it. */
  readonly isTerminal: boolean;
  /** Whether colours are welcome: on a terminal, unless NO_COLOR says no. */
  readonly color: boolean;
  /** Width in characters. */
  readonly columns: number;
  /** Height in lines; infinite if it is no terminal. */
  readonly rows: number;
  /** Aborted when the reader has gone: nothing written later will be seen. */
  readonly gone: AbortSignal;
  /** Bytes that the reader has not taken yet. */
  readonly waiting: number;
  /** Writes; resolves when there is room for more. What is written after the reader has gone disappears. */
  write(data: string | Uint8Array): Promise<void>;
  /** Resolves when the reader has everything. */
  flush(): Promise<void>;
}

/** What a command sees of the process it runs in. */
export interface Io {
  readonly stdout: Output;
  readonly stderr: Output;
  readonly stdin: Readable;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** The streams and environment of this process. */
export function processIo(): Io {
  return {
    stdout: new StreamOutput(() => process.stdout, isatty(1), process.env),
    stderr: new StreamOutput(() => process.stderr, isatty(2), process.env),
    get stdin() {
      return process.stdin;
    },
    env: process.env,
  };
}

/** A stream that may be a terminal. */
type TerminalStream = Writable & { readonly columns?: number; readonly rows?: number };

/** An output on a Node stream, which is made with the first write: that takes Node 4 ms. */
export class StreamOutput implements Output {
  readonly isTerminal: boolean;
  readonly color: boolean;
  readonly gone: AbortSignal;
  private readonly left = new AbortController();
  private readonly open: () => TerminalStream;
  private room: Promise<void> | undefined;
  private opened: TerminalStream | undefined;

  constructor(open: () => TerminalStream, isTerminal: boolean, env: Readonly<Record<string, string | undefined>>) {
    this.open = open;
    this.isTerminal = isTerminal;
    // https://no-color.org: set to anything but the empty string, it says no.
    this.color = this.isTerminal && (env["NO_COLOR"] ?? "") === "" && env["TERM"] !== "dumb";
    this.gone = this.left.signal;
  }

  get columns(): number {
    return this.stream.columns ?? 120;
  }

  get rows(): number {
    return this.stream.rows ?? Number.POSITIVE_INFINITY;
  }

  get waiting(): number {
    return this.opened?.writableLength ?? 0;
  }

  async write(data: string | Uint8Array): Promise<void> {
    if (this.gone.aborted || this.stream.write(data)) return;
    this.room ??= this.waitForRoom();
    await this.room;
  }

  flush(): Promise<void> {
    return new Promise((resolve) => {
      if (this.gone.aborted || this.waiting === 0) {
        resolve();
        return;
      }
      this.gone.addEventListener("abort", () => resolve(), { once: true });
      this.stream.write("", () => resolve());
    });
  }

  /** One pair of listeners, however many wait. */
  private waitForRoom(): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        this.stream.off("drain", done);
        this.gone.removeEventListener("abort", done);
        this.room = undefined;
        resolve();
      };
      this.stream.on("drain", done);
      this.gone.addEventListener("abort", done);
    });
  }

  private get stream(): TerminalStream {
    if (this.opened === undefined) {
      this.opened = this.open();
      // EPIPE: `belay logs … | head` has seen enough. ENOSPC, EIO: nothing that is written now arrives either.
      this.opened.on("error", (error) => this.left.abort(error));
    }
    return this.opened;
  }
}

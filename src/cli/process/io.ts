import { fstatSync } from "node:fs";
import type { Readable, Writable } from "node:stream";
import { isatty } from "node:tty";
import { errnoOf } from "../../base/errors.ts";
import { FileSink } from "./file-sink.ts";
import type { Inherited } from "../../base/process/inherited.ts";
import type { Launch } from "./launch.ts";

/** One of the program's outputs. */
export interface Output {
  /** Whether it is a terminal, which a user reads. */
  readonly isTerminal: boolean;
  /** Whether colours are used: on a terminal, unless NO_COLOR is set. */
  readonly color: boolean;
  /** Width in characters. */
  readonly columns: number;
  /** Height in lines; infinite if it is not a terminal. */
  readonly rows: number;
  /** Aborted when later writes would reach no reader: the reader has gone, or there was an error. */
  readonly gone: AbortSignal;
  /** Why written data was lost. Undefined: none was lost, or the reader closed its end. */
  readonly problem: Error | undefined;
  /** Bytes that have been written and that the reader has not read yet. */
  readonly waiting: number;
  /** Writes; resolves when there is room for more. Data written after the reader has gone is discarded. */
  write(data: string | Uint8Array): Promise<void>;
  /** Resolves when the reader has everything. */
  flush(): Promise<void>;
  /** Gives up a reader that does not read: no present or later call waits for it. */
  giveUp(): void;
  /** Whether its reader was given up. */
  readonly givenUp: boolean;
}

/** The process in which a command runs, as far as the command uses it. */
export interface Io {
  readonly stdout: Output;
  readonly stderr: Output;
  readonly stdin: Readable;
  /** The environment as inherited, including variables that were hidden from Node and libraries. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Inherited settings that Node has changed. Undefined: not known. */
  readonly inherited?: Inherited | undefined;
}

/** The streams and environment of this process. */
export function processIo({ environment, inherited }: Launch): Io {
  return {
    stdout: new StreamOutput(() => sinkOf(1), isatty(1), environment),
    stderr: new StreamOutput(() => sinkOf(2), isatty(2), environment),
    get stdin() {
      return process.stdin;
    },
    env: environment,
    inherited,
  };
}

/** Where an output writes: a stream of Node, which may be a terminal, or a file. */
type Sink = (Writable & { readonly columns?: number; readonly rows?: number }) | FileSink;

function sinkOf(fd: 1 | 2): Sink {
  const stat = fstatSync(fd);
  if (!isatty(fd) && !stat.isFIFO() && !stat.isSocket()) return new FileSink(fd);
  const stream: OwnStream = fd === 1 ? process.stdout : process.stderr;
  const handle = stream._handle;
  // By default, Node's writes to a terminal block the whole program, heartbeats included, while Ctrl-S or a slow line
  // stops the terminal. O_NONBLOCK belongs to the open file, which other programs may share: it is set only on one that
  // libuv has opened for this process.
  if (isatty(fd) && handle !== undefined && handle.fd > 2) handle.setBlocking(false);
  return stream;
}

/** Node's internal handle of a stream: it shows how many of the written bytes the kernel has accepted. */
interface OwnHandle {
  readonly fd: number;
  readonly bytesWritten: number;
  readonly writeQueueSize: number;
  setBlocking(blocking: boolean): void;
}

type OwnStream = Writable & { readonly _handle?: OwnHandle };

/** Errors after which an output ends without a message: the reader has gone, as in `belay logs … | head`. */
const READER_LEFT: ReadonlySet<string> = new Set(["EPIPE", "ECONNRESET"]);

/** An output on a Node stream, which is made with the first write: that takes Node 4 ms. */
export class StreamOutput implements Output {
  readonly isTerminal: boolean;
  readonly color: boolean;
  readonly gone: AbortSignal;
  private readonly left = new AbortController();
  private readonly open: () => Sink;
  private failure: Error | undefined;
  private room: Promise<void> | undefined;
  private opened: Sink | undefined;
  private given = 0;
  private abandoned = false;

  constructor(open: () => Sink, isTerminal: boolean, env: Readonly<Record<string, string | undefined>>) {
    this.open = open;
    this.isTerminal = isTerminal;
    // https://no-color.org: any value but the empty one turns colours off.
    this.color = this.isTerminal && (env["NO_COLOR"] ?? "") === "" && env["TERM"] !== "dumb";
    this.gone = this.left.signal;
  }

  get columns(): number {
    return this.size.columns ?? 120;
  }

  get rows(): number {
    return this.size.rows ?? Number.POSITIVE_INFINITY;
  }

  get problem(): Error | undefined {
    return this.failure;
  }

  get waiting(): number {
    const { opened } = this;
    if (opened === undefined || opened.writableLength === 0) return 0;
    // Node's writableLength counts a partly written piece as if none of it had been written.
    const handle = (opened as OwnStream)._handle;
    if (handle === undefined) return opened.writableLength;
    const taken = handle.bytesWritten - handle.writeQueueSize;
    return Math.min(Math.max(this.given - taken, 0), opened.writableLength);
  }

  get givenUp(): boolean {
    return this.abandoned;
  }

  giveUp(): void {
    this.abandoned = true;
    this.left.abort(new Error("The reader does not read"));
  }

  async write(data: string | Uint8Array): Promise<void> {
    if (this.gone.aborted) return;
    this.given += typeof data === "string" ? Buffer.byteLength(data) : data.length;
    if (this.stream.write(data)) return;
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

  /** One pair of listeners for all callers that wait. */
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

  private get size(): { readonly columns?: number; readonly rows?: number } {
    return this.stream instanceof FileSink ? {} : this.stream;
  }

  private get stream(): Sink {
    if (this.opened === undefined) {
      this.opened = this.open();
      this.opened.on("error", (error) => {
        const hasLeft = READER_LEFT.has(errnoOf(error) ?? "") || this.isTerminal;
        if (!hasLeft) this.failure ??= error;
        this.left.abort(error);
      });
    }
    return this.opened;
  }
}

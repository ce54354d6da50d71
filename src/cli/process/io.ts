import { fstatSync } from "node:fs";
import type { Readable, Writable } from "node:stream";
import { isatty } from "node:tty";
import { errnoOf } from "../../base/errors.ts";
import { FileSink } from "./file-sink.ts";
import type { Inherited } from "../../base/process/inherited.ts";
import type { Launch } from "./launch.ts";

/** One of the program's outputs. */
export interface Output {
  /** Whether a person looks at it. */
  readonly isTerminal: boolean;
  /** Whether colours are used: on a terminal, unless NO_COLOR is set. */
  readonly color: boolean;
  /** Width in characters. */
  readonly columns: number;
  /** Height in lines; infinite if it is no terminal. */
  readonly rows: number;
  /** Aborted when nothing that is written later will be seen: the reader has gone, or there was an error. */
  readonly gone: AbortSignal;
  /** Why what was written is not where it should be. Undefined: it is, or its reader had seen enough. */
  readonly problem: Error | undefined;
  /** Bytes that the reader has not taken yet. */
  readonly waiting: number;
  /** Writes; resolves when there is room for more. What is written after the reader has gone is discarded. */
  write(data: string | Uint8Array): Promise<void>;
  /** Resolves when the reader has everything. */
  flush(): Promise<void>;
  /** Gives up a reader that does not read: no call waits for it any longer, now or later. */
  giveUp(): void;
  /** Whether its reader was given up. */
  readonly givenUp: boolean;
}

/** What a command sees of the process it runs in. */
export interface Io {
  readonly stdout: Output;
  readonly stderr: Output;
  readonly stdin: Readable;
  /** As this process got it; what Node or a library would obey in it was kept from them. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** What Node has changed of what this process got. Undefined: not known. */
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

/** Where an output writes: a stream of Node's, which may be a terminal, or a file. */
type Sink = (Writable & { readonly columns?: number; readonly rows?: number }) | FileSink;

function sinkOf(fd: 1 | 2): Sink {
  const stat = fstatSync(fd);
  if (!isatty(fd) && !stat.isFIFO() && !stat.isSocket()) return new FileSink(fd);
  const stream: OwnStream = fd === 1 ? process.stdout : process.stderr;
  const handle = stream._handle;
  // Node has a terminal block the whole program, heartbeats and all, while Ctrl-S or a slow line holds it up. That it does
  // not block is a property of the open file, so it must be ours: libuv opens a terminal again where it can.
  if (isatty(fd) && handle !== undefined && handle.fd > 2) handle.setBlocking(false);
  return stream;
}

/** A stream of libuv as Node has it inside: how much of what was written the kernel has taken. */
interface OwnHandle {
  readonly fd: number;
  readonly bytesWritten: number;
  readonly writeQueueSize: number;
  setBlocking(blocking: boolean): void;
}

type OwnStream = Writable & { readonly _handle?: OwnHandle };

/** `belay logs … | head` has seen enough: as for `seq`, that is a quiet end. */
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
    // https://no-color.org: set to anything but the empty string, it turns colours off.
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
    // Node counts a piece that was written in part as a whole.
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
    this.left.abort(new Error("The reader stands still"));
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

import type { ServerHttp2Stream } from "node:http2";
import { Code, ConnectError } from "@connectrpc/connect";
import { madeGarbage } from "../../base/process/garbage.ts";
import { KiB, MiB } from "../../base/text/sizes.ts";

/** Bytes before each message: whether it is compressed, and its length. */
const PREFIX_BYTES = 5;
/** A message below this is cut from a larger piece of memory by Node, which is cheaper than to give it back. */
const SMALL_BYTES: number = 4 * KiB;
/** Memory that is used again: what many jobs print in 50 ms fits in. */
const SLAB_BYTES: number = 16 * KiB;
/** The same for an agent's full batch. */
const LARGE_SLAB_BYTES: number = 72 * KiB;
/** Memory of each size that is kept for reuse, for all streams together. */
const MAX_FREE_BYTES: number = 4 * MiB;
/** Bytes of whole messages that wait before no more are read. */
const HIGH_WATER_BYTES: number = 256 * KiB;

const free: ReadonlyMap<number, Buffer[]> = new Map([
  [SLAB_BYTES, []],
  [LARGE_SLAB_BYTES, []],
]);

/** One message as it came. */
export interface RawMessage {
  readonly bytes: Uint8Array;
  /** Releases its memory for reuse. Nothing may read it afterwards. Without a call, the garbage collector frees it. */
  release(): void;
}

/**
 * Reads length-prefixed messages of gRPC from a call's HTTP/2 stream
 * (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md).
 *
 * connect-node does the same with five asynchronous generators, one after the other. With the output of many jobs that
 * is half of a tracker's work, and what was received lives long enough for only a full garbage collection to find it.
 * Here each piece is copied to where its message is put together and forgotten at once, in memory that is used again.
 *
 * At most 256 KiB of whole messages wait, and one that is not whole. It reads nothing before the first `next`.
 */
export class MessageReader {
  private readonly stream: ServerHttp2Stream;
  private readonly maxBytes: number;
  private readonly prefix: Buffer = Buffer.alloc(PREFIX_BYTES);
  /** Bytes of the prefix that have come. */
  private prefixed = 0;
  private length = 0;
  private body: Buffer | undefined;
  private filled = 0;
  private readonly waiting: RawMessage[] = [];
  private waitingBytes = 0;
  private started = false;
  private over: { readonly error: ConnectError | undefined } | undefined;
  private wake: (() => void) | undefined;

  /** @param maxBytes of a message */
  constructor(stream: ServerHttp2Stream, maxBytes: number) {
    this.stream = stream;
    this.maxBytes = maxBytes;
  }

  /**
   * The next message; undefined: the client has half-closed. One call at a time.
   *
   * @throws ConnectError `RESOURCE_EXHAUSTED` for a message that is too large, `INVALID_ARGUMENT` for what is no
   *   message, `CANCELED` when the stream breaks
   */
  async next(): Promise<RawMessage | undefined> {
    this.start();
    for (;;) {
      const message = this.waiting.shift();
      if (message !== undefined) {
        this.waitingBytes -= message.bytes.length;
        if (this.waitingBytes < HIGH_WATER_BYTES && this.stream.isPaused()) this.stream.resume();
        return message;
      }
      if (this.over?.error !== undefined) throw this.over.error;
      if (this.over !== undefined) return undefined;
      await new Promise<void>((resolve) => (this.wake = resolve));
    }
  }

  private start(): void {
    if (this.started) return;
    this.started = true;
    const { stream } = this;
    const broken = (): void => this.end(new ConnectError("The client ended the stream", Code.Canceled));
    stream.on("data", (piece: Buffer) => this.accept(piece));
    stream.once("end", () => this.end(this.isWhole ? undefined : incomplete()));
    stream.once("aborted", broken);
    stream.once("error", broken);
    stream.once("close", broken);
    if (stream.destroyed) broken();
  }

  /** Whether no message has begun. */
  private get isWhole(): boolean {
    return this.prefixed === 0;
  }

  private accept(piece: Buffer): void {
    for (let at = 0; at < piece.length && this.over === undefined; ) {
      at += this.body === undefined ? this.takePrefix(piece, at) : this.takeBody(this.body, piece, at);
    }
    madeGarbage(piece.length);
    if (this.waitingBytes >= HIGH_WATER_BYTES) this.stream.pause();
    this.wakeReader();
  }

  private takePrefix(piece: Buffer, at: number): number {
    const taken = piece.copy(this.prefix, this.prefixed, at);
    this.prefixed += taken;
    if (this.prefixed < PREFIX_BYTES) return taken;
    this.length = this.prefix.readUInt32BE(1);
    if (this.prefix[0] !== 0) {
      this.end(new ConnectError("A message is compressed, and the call has no grpc-encoding", Code.InvalidArgument));
    } else if (this.length > this.maxBytes) {
      const message = `message size is larger than configured readMaxBytes ${this.maxBytes}: ${this.length}`;
      this.end(new ConnectError(message, Code.ResourceExhausted));
    } else {
      // The declared length is not trusted: memory grows with the bytes that have come.
      this.body = this.length >= SMALL_BYTES ? takeSlab(this.length) : Buffer.allocUnsafe(this.length);
      this.filled = 0;
      if (this.length === 0) this.complete(this.body);
    }
    return taken;
  }

  private takeBody(body: Buffer, piece: Buffer, at: number): number {
    const end = Math.min(piece.length, at + this.length - this.filled);
    const room = this.grown(body, this.filled + end - at);
    piece.copy(room, this.filled, at, end);
    this.filled += end - at;
    if (this.filled === this.length) this.complete(room);
    return end - at;
  }

  /** The same bytes with room for so many. */
  private grown(body: Buffer, bytes: number): Buffer {
    if (bytes <= body.length) return body;
    const larger = Buffer.allocUnsafeSlow(Math.min(this.length, Math.max(bytes, body.length * 2)));
    body.copy(larger, 0, 0, this.filled);
    giveSlab(body);
    this.body = larger;
    return larger;
  }

  private complete(body: Buffer): void {
    this.waiting.push(new Message(body, this.length));
    this.waitingBytes += this.length;
    this.body = undefined;
    this.prefixed = 0;
  }

  private end(error: ConnectError | undefined): void {
    this.over ??= { error };
    this.wakeReader();
  }

  private wakeReader(): void {
    this.wake?.();
    this.wake = undefined;
  }
}

class Message implements RawMessage {
  readonly bytes: Uint8Array;
  private memory: Buffer | undefined;

  constructor(memory: Buffer, length: number) {
    this.bytes = memory.subarray(0, length);
    this.memory = memory;
  }

  release(): void {
    if (this.memory !== undefined) giveSlab(this.memory);
    this.memory = undefined;
  }
}

/** Memory for a message; the beginning of it, if the message is larger than a slab. */
function takeSlab(length: number): Buffer {
  const bytes = length <= SLAB_BYTES ? SLAB_BYTES : LARGE_SLAB_BYTES;
  return free.get(bytes)?.pop() ?? Buffer.allocUnsafeSlow(bytes);
}

/** Keeps memory for reuse, if it is a slab. */
function giveSlab(memory: Buffer): void {
  const slabs = memory.length === memory.buffer.byteLength ? free.get(memory.length) : undefined;
  if (slabs !== undefined && (slabs.length + 1) * memory.length <= MAX_FREE_BYTES) slabs.push(memory);
}

function incomplete(): ConnectError {
  return new ConnectError("The client half-closed within a message", Code.InvalidArgument);
}

import type { ServerHttp2Stream } from "node:http2";

/** Bytes before each message: that it is not compressed, and its length. */
const PREFIX_BYTES = 5;

/**
 * Writes length-prefixed messages of gRPC to a call's HTTP/2 stream
 * (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md), as MessageReader reads them: connect-node passes each
 * message through four asynchronous generators and Node's compatibility layer, which for the acks of many logs is a
 * seventh of a tracker's work.
 *
 * connect-node sends the headers, with the first message, and the trailers; only in between may this be used.
 */
export class MessageWriter {
  private readonly stream: ServerHttp2Stream;

  constructor(stream: ServerHttp2Stream) {
    this.stream = stream;
  }

  /**
   * Sends messages in one piece, or nothing on a stream that is over.
   *
   * @returns whether there is room for more; if not, wait for `drained`
   */
  write(messages: readonly Uint8Array[]): boolean {
    return this.send([Buffer.concat(messages.flatMap((message) => [prefixOf(message.byteLength), message]))]);
  }

  /**
   * Sends one message that is given in parts. They are not copied, and must not change before `drained`.
   *
   * @returns as `write`
   */
  writeParts(parts: readonly Uint8Array[]): boolean {
    return this.send([prefixOf(parts.reduce((sum, { byteLength }) => sum + byteLength, 0)), ...parts]);
  }

  /** Waits until there is room again, or the stream is over. */
  async drained(): Promise<void> {
    const { stream } = this;
    if (!stream.writableNeedDrain || stream.destroyed) return;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        stream.off("drain", done);
        stream.off("close", done);
        resolve();
      };
      stream.on("drain", done);
      stream.on("close", done);
    });
  }

  private send(pieces: readonly Uint8Array[]): boolean {
    const { stream } = this;
    if (stream.destroyed || stream.writableEnded) return true;
    stream.cork();
    for (const piece of pieces) stream.write(piece);
    stream.uncork();
    return !stream.writableNeedDrain;
  }
}

function prefixOf(length: number): Buffer {
  const prefix = Buffer.allocUnsafe(PREFIX_BYTES);
  prefix[0] = 0;
  prefix.writeUInt32BE(length, 1);
  return prefix;
}

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
    const { stream } = this;
    if (stream.destroyed || stream.writableEnded) return true;
    const piece = Buffer.allocUnsafe(messages.reduce((sum, message) => sum + PREFIX_BYTES + message.length, 0));
    let at = 0;
    for (const message of messages) {
      piece[at] = 0;
      piece.writeUInt32BE(message.length, at + 1);
      piece.set(message, at + PREFIX_BYTES);
      at += PREFIX_BYTES + message.length;
    }
    return stream.write(piece);
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
}

import { once } from "node:events";
import type { ClientHttp2Stream, ServerHttp2Stream } from "node:http2";
import { connect, createServer } from "node:http2";
import type { AddressInfo } from "node:net";
import { onTestFinished } from "vitest";

/** Both ends of a call. */
export interface HttpCall {
  readonly client: ClientHttp2Stream;
  readonly stream: ServerHttp2Stream;
}

/** Opens a call on a real connection; both end with the test. */
export async function openCall(): Promise<HttpCall> {
  const server = createServer();
  server.on("session", (session) => session.on("error", () => undefined));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const session = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  session.on("error", () => undefined);
  onTestFinished(() => {
    session.destroy();
    server.close();
  });
  const client = session.request({ ":method": "POST", ":path": "/" }, { endStream: false });
  client.on("error", () => undefined);
  const [stream] = (await once(server, "stream")) as [ServerHttp2Stream];
  stream.on("error", () => undefined);
  return { client, stream };
}

/** A message as gRPC sends it. */
export function framed(message: Buffer): Buffer {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

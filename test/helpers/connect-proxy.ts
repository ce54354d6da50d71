import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { onTestFinished } from "vitest";

/** Options of a proxy for a test. */
export interface ConnectProxyOptions {
  /** Target of every tunnel, whatever address was requested: its name need not exist. */
  readonly to?: string;
  /** Answers with this instead of a tunnel. */
  readonly answer?: string;
}

/** An HTTP proxy that supports only CONNECT. It is closed when the test is over. */
export interface ConnectProxy {
  /** `host:port` where it listens. */
  readonly host: string;
  /** The requested targets, in order: `host:port`, with the credentials if there were any. */
  readonly asked: string[];
}

export async function connectProxy(options: ConnectProxyOptions): Promise<ConnectProxy> {
  const sockets = new Set<Socket>();
  const asked: string[] = [];
  const serve = (socket: Socket): void => {
    sockets.add(socket.on("error", () => undefined));
    socket.once("close", () => sockets.delete(socket));
    socket.once("data", (head: Buffer) => {
      const text = head.toString("latin1");
      const target = /^CONNECT (\S+) HTTP\/1.1\r\n/.exec(text)?.[1] ?? `not a CONNECT: ${text.slice(0, 40)}`;
      const [, basic] = /^Proxy-Authorization: Basic (\S+)\r$/im.exec(text) ?? [];
      asked.push(basic === undefined ? target : `${target} by ${Buffer.from(basic, "base64").toString()}`);
      if (options.answer !== undefined) socket.end(options.answer);
      else tunnel(socket, options.to ?? "");
    });
  };
  const server = createServer(serve);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return { host: `127.0.0.1:${(server.address() as AddressInfo).port}`, asked };
}

function tunnel(socket: Socket, to: string): void {
  const { hostname, port } = new URL(to);
  const onward = connect(Number(port), hostname);
  onward.once("connect", () => {
    socket.write("HTTP/1.1 200 Connection established\r\n\r\n");
    socket.pipe(onward).pipe(socket);
  });
  onward.on("error", () => socket.end("HTTP/1.1 502 Bad Gateway\r\n\r\n"));
  onward.once("close", () => socket.destroy());
  socket.once("close", () => onward.destroy());
}

import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer as createHttpServer } from "node:http";
import { createServer as createHttp2Server } from "node:http2";
import type { ServerHttp2Stream } from "node:http2";
import { createServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { expect, onTestFinished, test } from "vitest";
import { belayEnds } from "../helpers/cli.ts";

// A user gives `belay run` a wrong address: within its connect timeout, it reports what it found there.

const tls = { cert: fixture("cert.pem"), key: fixture("key.pem") };

const wrong: [what: string, server: () => Server, says: RegExp, scheme?: string][] = [
  [
    "a web server",
    () => createHttpServer((_, response) => response.setHeader("content-type", "text/html").end("<html>hello</html>")),
    /^belay: Cannot reach the tracker at \S+: a web server that is not a Belay tracker answers there \(HTTP\/1.1, status 200 and text\/html\); gave up after/,
  ],
  [
    "a proxy of HTTP/1.1 only",
    () => raw((socket) => socket.end("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")),
    /a web server that is not a Belay tracker answers there \(HTTP\/1.1, status 400\); gave up after/,
  ],
  [
    "a web server of HTTP/2",
    () => http2((stream) => answer(stream, 200, "<html>Sign in to the network</html>")),
    /^belay: No tracker let the agent in at "\S+" within 500ms: A web server or proxy answered with text\/html: is there a tracker behind it\?$/,
  ],
  [
    "a web server of HTTP/2 that has no such page",
    () => http2((stream) => answer(stream, 404, "<html>Not found</html>")),
    /^belay: No tracker is at "\S+": A web server or proxy answered with HTTP status 404 and text\/html: is there a tracker behind it\? \(UNIMPLEMENTED\)$/,
  ],
  [
    "a proxy without a tracker behind it",
    () => http2((stream) => answer(stream, 502, "<html>Bad gateway</html>")),
    /^belay: No tracker let the agent in at "\S+" within 500ms: A web server or proxy answered with HTTP status 502 and text\/html: is/,
  ],
  [
    "a gRPC server that cannot decode the agent's messages",
    () =>
      http2((stream) => {
        const trailers = { "grpc-status": "13", "grpc-message": "Error deserializing request" };
        stream.respond({ "content-type": "application/grpc", ...trailers }, { endStream: true });
      }),
    /^belay: No tracker let the agent in at "\S+" within 500ms: Error deserializing request \(INTERNAL\)$/,
  ],
  [
    "HTTP/2 that never answers",
    () => http2(() => undefined),
    /^belay: No tracker let the agent in at "\S+" within 500ms: Hello was not answered$/,
  ],
  [
    "a server that sends nothing",
    () => createServer((socket) => void socket.on("error", () => undefined).resume()),
    /^belay: No tracker answered at "\S+" within 500ms: nothing was heard$/,
  ],
  [
    "a server of something else",
    () => raw((socket) => socket.end(Buffer.alloc(100, 0xa5))),
    /something that is not a Belay tracker answers there; gave up after/,
  ],
  [
    "TLS, called by http",
    () => createTlsServer({ ...tls, ALPNProtocols: ["h2"] }),
    /it speaks TLS: use https:\/\/ instead of http:\/\/; gave up after/,
  ],
  [
    "plaintext, called by https",
    () => http2(() => undefined),
    /it does not speak TLS: use http:\/\/ instead of https:\/\/; gave up after/,
    "https",
  ],
  [
    "a certificate of an unknown authority",
    () => createTlsServer({ ...tls, ALPNProtocols: ["h2"] }),
    /its certificate is not signed by a known CA: pass the CA with --ca \(DEPTH_ZERO_SELF_SIGNED_CERT\); gave up/,
    "https",
  ],
];

test.each(wrong)(
  "A user who gives an agent the address of %s reads what the server is",
  async (_, make, says, scheme = "http") => {
    const server = make();
    const sockets = new Set<Socket>();
    server.on("connection", (socket: Socket) => sockets.add(socket));
    server.on("tlsClientError", () => undefined);
    server.listen(0, "127.0.0.1");
    onTestFinished(() => {
      server.close();
      for (const socket of sockets) socket.destroy();
    });
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const address = `${scheme}://127.0.0.1:${port}`;
    const done = await belayEnds(["run", "--tracker", address, "--connect-timeout", "500ms", "--", "true"]);
    expect(done.stderr.trimEnd()).toMatch(says);
    expect(done).toMatchObject({ code: 125, stdout: "" });
  },
);

function http2(does: (stream: ServerHttp2Stream) => void): Server {
  return createHttp2Server().on("stream", (stream: ServerHttp2Stream) => {
    stream.on("error", () => undefined);
    does(stream);
  });
}

function answer(stream: ServerHttp2Stream, status: number, page: string): void {
  stream.respond({ ":status": status, "content-type": "text/html; charset=utf-8" });
  stream.end(page);
}

/** A server that calls a function when a client has sent something. */
function raw(does: (socket: Socket) => void): Server {
  return createServer((socket) => {
    socket.on("error", () => undefined).once("data", () => does(socket));
  });
}

function fixture(name: string): Buffer {
  return readFileSync(new URL(`../fixtures/tls/${name}`, import.meta.url));
}

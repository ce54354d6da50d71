import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer as createTlsServer } from "node:tls";
import type { AddressInfo } from "node:net";
import { describe, expect, onTestFinished, test } from "vitest";
import { ScriptedTracker } from "../helpers/scripted-tracker.ts";
import { someSession } from "./a-session.ts";
import { afterWelcome, badCall, badSocket, constants, GRPC_HEADERS, welcomeFrame } from "./bad-server.ts";
import type { CallVice, SocketVice } from "./bad-server.ts";
import { record } from "./record.ts";

/** Every way in which a stream can end before Welcome, and after. The next state is always the same: dial again. */

async function goodTracker(): Promise<ScriptedTracker> {
  const tracker = await ScriptedTracker.start();
  onTestFinished(() => tracker.close());
  void tracker.serve();
  return tracker;
}

const html = "<html><body>Sign in to the network</body></html>";

const bytes: [string, SocketVice, RegExp][] = [
  ["FIN at once", (socket) => socket.end(), /./],
  ["RST at once", (socket) => socket.resetAndDestroy(), /./],
  ["RST after the first bytes", (socket) => socket.once("data", () => socket.resetAndDestroy()), /./],
  ["FIN after the first bytes", (socket) => socket.once("data", () => socket.end()), /./],
  [
    "a server of HTTP/1.1 only",
    (socket) => socket.once("data", () => socket.end("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")),
    /./,
  ],
  [
    "a proxy of HTTP/1.1 that answers 200 text/html",
    (socket) =>
      socket.once("data", () => {
        socket.end(`HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: ${html.length}\r\n\r\n${html}`);
      }),
    /./,
  ],
  ["random bytes", (socket) => socket.once("data", () => socket.end(Buffer.alloc(4096, 0xa5))), /./],
];

const early: [string, CallVice, RegExp][] = [
  ["END_STREAM without headers of gRPC", (stream) => stream.respond({ ":status": 200 }, { endStream: true }), /./],
  ["a proxy's 502", (stream) => stream.respond({ ":status": 502 }, { endStream: true }), /502/],
  ["a proxy's 429", (stream) => stream.respond({ ":status": 429 }, { endStream: true }), /429/],
  [
    "a proxy's 200 text/html",
    (stream) => {
      stream.respond({ ":status": 200, "content-type": "text/html" });
      stream.end(html);
    },
    /./,
  ],
  ["RST_STREAM without headers", (stream) => stream.close(constants.NGHTTP2_INTERNAL_ERROR), /./],
  ["RST_STREAM REFUSED_STREAM", (stream) => stream.close(constants.NGHTTP2_REFUSED_STREAM), /./],
  [
    "headers, then RST_STREAM",
    (stream) => {
      stream.respond(GRPC_HEADERS);
      setImmediate(() => stream.close(constants.NGHTTP2_CANCEL));
    },
    /./,
  ],
  [
    "GOAWAY before the answer",
    (_, session) => {
      session.goaway(constants.NGHTTP2_NO_ERROR);
      setImmediate(() => session.destroy());
    },
    /./,
  ],
  [
    "GOAWAY too_many_pings",
    (_, session) => session.goaway(constants.NGHTTP2_ENHANCE_YOUR_CALM, 0, Buffer.from("too_many_pings")),
    /./,
  ],
];

const late: [string, CallVice, RegExp][] = [
  ["RST_STREAM NO_ERROR", (stream) => stream.close(constants.NGHTTP2_NO_ERROR), /./],
  ["trailers with OK", (stream) => endWith(stream, "0"), /^lost: The tracker ended the stream$/],
  ["trailers with UNAVAILABLE", (stream) => endWith(stream, "14"), /./],
  ["trailers with UNAUTHENTICATED", (stream) => endWith(stream, "16"), /./],
  ["trailers with PERMISSION_DENIED", (stream) => endWith(stream, "7"), /./],
  ["trailers with NOT_FOUND", (stream) => endWith(stream, "5"), /./],
  ["trailers with UNIMPLEMENTED", (stream) => endWith(stream, "12"), /./],
  ["trailers with OUT_OF_RANGE", (stream) => endWith(stream, "11"), /./],
  ["trailers with a code that nobody knows", (stream) => endWith(stream, "77"), /./],
  ["RST_STREAM CANCEL", (stream) => stream.close(constants.NGHTTP2_CANCEL), /./],
  ["RST_STREAM INTERNAL_ERROR", (stream) => stream.close(constants.NGHTTP2_INTERNAL_ERROR), /./],
  ["RST_STREAM ENHANCE_YOUR_CALM", (stream) => stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM), /./],
  ["a message that is no protobuf", (stream) => stream.write(Buffer.from([0, 0, 0, 0, 3, 0xff, 0xff, 0xff])), /./],
  ["a message of 4 GiB, as its head says", (stream) => stream.write(Buffer.from([0, 0xff, 0xff, 0xff, 0xff])), /./],
  [
    "GOAWAY that cuts the live stream",
    (_, session) => {
      session.goaway(constants.NGHTTP2_INTERNAL_ERROR, 0);
      session.destroy();
    },
    /./,
  ],
  ["FIN", (_stream, _session, socket) => socket.end(), /./],
  ["RST", (_stream, _session, socket) => socket.resetAndDestroy(), /./],
  ["the session's destruction", (_, session) => session.destroy(), /./],
];

function endWith(stream: Parameters<CallVice>[0], code: string): void {
  stream.once("wantTrailers", () => stream.sendTrailers({ "grpc-status": code, "grpc-message": "because" }));
  stream.end();
}

describe("Before Welcome, the session dials again after", () => {
  test.each([...bytes.map((row) => [...row, badSocket] as const), ...early.map((row) => [...row, badCall] as const)])(
    "%s",
    async (name, vice, why, bad) => {
      const good = await goodTracker();
      const server = await (bad as typeof badCall)(good.url, vice as CallVice);
      const { session, said } = someSession(server.url);
      void session.run();
      const struck = await server.struck;
      expect(await said.next()).toMatch(why);
      const noticed = performance.now() - struck;
      expect(await said.next()).toBe("connected");
      expect(session.state.kind).toBe("open");
      const whole = performance.now() - struck;
      record({ fault: `before Welcome: ${name}`, noticed, whole });
      expect(noticed).toBeLessThan(2000);
    },
  );
});

describe("After Welcome, the session dials again after", () => {
  test.each(late)("%s", async (name, vice, why) => {
    const good = await goodTracker();
    const struck = Promise.withResolvers<number>();
    const server = await badCall(
      good.url,
      afterWelcome((stream, session, socket) => {
        vice(stream, session, socket);
        struck.resolve(performance.now());
      }),
    );
    const { session, said } = someSession(server.url);
    void session.run();
    expect(await said.next()).toBe("connected");
    const at = await struck.promise;
    const lost = await said.next();
    const noticed = performance.now() - at;
    expect(lost).toMatch(/^lost: ./);
    expect(lost).toMatch(why);
    expect(await said.next()).toBe("connected again");
    record({ fault: name, noticed, whole: performance.now() - at });
    expect(noticed).toBeLessThan(2000);
  });

  test("GOAWAY, graceful, of a live stream: goes on with it, and dials again when it ends", async () => {
    const good = await goodTracker();
    const beaten = Promise.withResolvers<void>();
    const server = await badCall(
      good.url,
      afterWelcome((stream, session) => {
        session.goaway(constants.NGHTTP2_NO_ERROR, 2 ** 31 - 1);
        stream.once("data", () => {
          beaten.resolve();
          endWith(stream, "0");
        });
      }, 30),
    );
    const { session, said } = someSession(server.url);
    void session.run();
    await beaten.promise;
    expect([await said.next(), await said.next()]).toEqual(["connected", "lost: The tracker ended the stream"]);
    expect(await said.next()).toBe("connected again");
  });

  // grpc-js tells nobody of it while our own side is open.
  test("END_STREAM without trailers, which only silence tells", async () => {
    const good = await goodTracker();
    const server = await badCall(good.url, (stream) => {
      stream.respond(GRPC_HEADERS);
      stream.end(welcomeFrame(100));
    });
    const { session, said } = someSession(server.url);
    void session.run();
    expect([await said.next(), await said.next()]).toEqual([
      "connected",
      expect.stringMatching(/^lost: Nothing came from the tracker for /),
    ]);
    expect(await said.next()).toBe("connected again");
  });

  test.each([
    ["FAILED_PRECONDITION", "9", "fenced"],
    ["INVALID_ARGUMENT", "3", "refused"],
  ])("but not after %s", async (_, code, kind) => {
    const good = await goodTracker();
    const server = await badCall(
      good.url,
      afterWelcome((stream) => endWith(stream, code)),
    );
    const { session } = someSession(server.url);
    expect((await session.run()).kind).toBe(kind);
  });
});

describe("Without a connection, the session goes on trying and says why when its time is over", () => {
  test("a name that does not exist", async () => {
    const { session, said } = someSession("http://no-such-host.invalid:1", { connectTimeout: 1500 });
    const ended = session.run();
    expect(await said.next()).toMatch(/^lost: .*(ENOTFOUND|EAI_AGAIN|Name resolution failed)/);
    expect(await ended).toMatchObject({ kind: "unreachable", error: { code: "TRACKER_UNREACHABLE" } });
  });

  test("nobody listens", async () => {
    const { session, said } = someSession("http://127.0.0.1:1", { connectTimeout: 300 });
    const ended = session.run();
    expect(await said.next()).toBe("lost: connect ECONNREFUSED 127.0.0.1:1");
    expect((await ended).kind).toBe("unreachable");
  });

  test("plaintext where TLS is expected", async () => {
    const good = await goodTracker();
    const { session, said } = someSession(good.url.replace("http:", "https:"), { connectTimeout: 1000 });
    const ended = session.run();
    expect(await said.next()).toMatch(/^lost: ./);
    expect((await ended).kind).toBe("unreachable");
  });

  test("a certificate that nobody vouches for", async () => {
    const cert = readFileSync(new URL("../fixtures/tls/cert.pem", import.meta.url));
    const key = readFileSync(new URL("../fixtures/tls/key.pem", import.meta.url));
    const server = createTlsServer({ cert, key, ALPNProtocols: ["h2"] }).listen(0, "127.0.0.1");
    server.on("tlsClientError", () => undefined);
    onTestFinished(() => void server.close());
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const { session, said } = someSession(`https://127.0.0.1:${port}`, { connectTimeout: 1000 });
    const ended = session.run();
    expect(await said.next()).toMatch(/^lost: .*(self-signed|certificate|altnames)/);
    expect((await ended).kind).toBe("unreachable");
  });
});

describe("When it was away", () => {
  test("and is back, the session is there within two seconds, however long its back-off has become", async () => {
    // A port that nobody else gets meanwhile: it was bound a moment ago.
    const first = await ScriptedTracker.start();
    const { session, said } = someSession(first.url);
    void session.run();
    (await first.stream()).welcome();
    expect(await said.next()).toBe("connected");
    first.close();
    expect(await said.next()).toMatch(/^lost: /);
    // Enough failures for a back-off of many seconds.
    for (let failures = 0; failures < 4; failures++) await said.next();
    const again = await ScriptedTracker.start(Number(new URL(first.url).port));
    onTestFinished(() => again.close());
    const back = performance.now();
    (await again.stream()).welcome();
    while ((await said.next()) !== "connected again");
    const whole = performance.now() - back;
    record({ fault: "the tracker's machine was away for long, refusing", whole });
    expect(whole).toBeLessThan(2000);
  });
});

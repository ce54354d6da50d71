import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer as createTlsServer } from "node:tls";
import type { AddressInfo } from "node:net";
import { constants } from "node:http2";
import { describe, expect, onTestFinished, test } from "vitest";
import { ScriptedTracker } from "../helpers/scripted-tracker.ts";
import { someSession } from "./a-session.ts";
import { badCall, badConnection, badSocket, onceWelcomed, welcomeFrame } from "./bad-server.ts";
import { afterWelcome, beforeWelcome, type CallVice, endWith, GRPC_HEADERS, onConnect, onFirstBytes } from "./vices.ts";

// Every way in which a stream can end before Welcome, and after. The session must dial again each time.

/** Short back-off: only the last test is about it. Milliseconds. */
const soon = { backoff: { base: 50, cap: 30_000 } };

async function goodTracker(): Promise<ScriptedTracker> {
  const tracker = await ScriptedTracker.start();
  onTestFinished(() => tracker.close());
  void tracker.serve();
  return tracker;
}

describe("Before Welcome, the session dials again after", () => {
  test.each([
    ...onConnect.map((row) => [...row, badConnection] as const),
    ...onFirstBytes.map((row) => [...row, badSocket] as const),
    ...beforeWelcome.map((row) => [...row, badCall] as const),
  ])("%s", async (_, vice, why, bad) => {
    const good = await goodTracker();
    const server = await (bad as typeof badCall)(good.url, vice as CallVice);
    const { session, events } = someSession(server.url, { timing: soon });
    void session.run();
    const faultTime = await server.faultTime;
    expect(await events.next()).toMatch(why);
    const noticed = performance.now() - faultTime;
    expect(await events.next()).toBe("connected");
    expect(session.state.kind).toBe("open");
    // It takes 1 to 40 ms, and 0.6 s for REFUSED_STREAM, which grpc-js retries. Without the event, it would take 10 s,
    // until a deadline.
    expect(noticed).toBeLessThan(2000);
  });
});

describe("After Welcome, the session dials again after", () => {
  test.each(afterWelcome)("%s", async (_, vice, why) => {
    const good = await goodTracker();
    const faultTime = Promise.withResolvers<number>();
    const server = await badCall(
      good.url,
      onceWelcomed((stream, session, socket) => {
        vice(stream, session, socket);
        faultTime.resolve(performance.now());
      }),
    );
    const { session, events } = someSession(server.url, { timing: soon });
    void session.run();
    expect(await events.next()).toBe("connected");
    const at = await faultTime.promise;
    const lost = await events.next();
    const noticed = performance.now() - at;
    expect(lost).toMatch(/^lost: ./);
    expect(lost).toMatch(why);
    expect(await events.next()).toBe("connected again");
    // It takes 1 to 60 ms. Without the event, it would take three heartbeat intervals of silence.
    expect(noticed).toBeLessThan(2000);
  });

  test("a graceful GOAWAY: the session continues with the stream, and dials again when the stream ends", async () => {
    const good = await goodTracker();
    const heartbeatSeen = Promise.withResolvers<void>();
    const server = await badCall(
      good.url,
      onceWelcomed((stream, session) => {
        session.goaway(constants.NGHTTP2_NO_ERROR, 2 ** 31 - 1);
        stream.once("data", () => {
          heartbeatSeen.resolve();
          endWith(stream, "0");
        });
      }, 30),
    );
    const { session, events } = someSession(server.url, { timing: soon });
    void session.run();
    await heartbeatSeen.promise;
    expect([await events.next(), await events.next()]).toEqual(["connected", "lost: The tracker ended the stream"]);
    expect(await events.next()).toBe("connected again");
  });

  // grpc-js emits no event for it while our direction is open.
  test("END_STREAM without trailers, which only silence shows", async () => {
    const good = await goodTracker();
    const server = await badCall(good.url, (stream) => {
      stream.respond(GRPC_HEADERS);
      stream.end(welcomeFrame(100));
    });
    const { session, events } = someSession(server.url, { timing: soon });
    void session.run();
    expect([await events.next(), await events.next()]).toEqual([
      "connected",
      expect.stringMatching(/^lost: Nothing came from the tracker for /),
    ]);
    expect(await events.next()).toBe("connected again");
  });

  test.each([
    ["FAILED_PRECONDITION", "9", "fenced"],
    ["INVALID_ARGUMENT", "3", "refused"],
  ])("but not after %s", async (_, code, kind) => {
    const good = await goodTracker();
    const server = await badCall(
      good.url,
      onceWelcomed((stream) => endWith(stream, code)),
    );
    const { session } = someSession(server.url, { timing: soon });
    expect((await session.run()).kind).toBe(kind);
  });
});

describe("Without a connection, the session keeps trying and reports the reason when its time is over", () => {
  test("a name that does not exist", async () => {
    const { session, events } = someSession("http://no-such-host.invalid:1", { connectTimeout: 1500 });
    const ended = session.run();
    expect(await events.next()).toMatch(/^lost: .*(ENOTFOUND|EAI_AGAIN|Name resolution failed)/);
    expect(await ended).toMatchObject({ kind: "unreachable", error: { code: "TRACKER_UNREACHABLE" } });
  });

  test("no server listens", async () => {
    const { session, events } = someSession("http://127.0.0.1:1", { connectTimeout: 300 });
    const ended = session.run();
    expect(await events.next()).toBe("lost: connect ECONNREFUSED 127.0.0.1:1");
    expect((await ended).kind).toBe("unreachable");
  });

  test("plaintext where TLS is expected", async () => {
    const good = await goodTracker();
    const { session, events } = someSession(good.url.replace("http:", "https:"), { connectTimeout: 1000 });
    const ended = session.run();
    expect(await events.next()).toMatch(/^lost: ./);
    expect((await ended).kind).toBe("unreachable");
  });

  test("a certificate of an unknown authority", async () => {
    const cert = readFileSync(new URL("../fixtures/tls/cert.pem", import.meta.url));
    const key = readFileSync(new URL("../fixtures/tls/key.pem", import.meta.url));
    const server = createTlsServer({ cert, key, ALPNProtocols: ["h2"] }).listen(0, "127.0.0.1");
    server.on("tlsClientError", () => undefined);
    onTestFinished(() => void server.close());
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const { session, events } = someSession(`https://127.0.0.1:${port}`, { connectTimeout: 1000 });
    const ended = session.run();
    expect(await events.next()).toMatch(/^lost: .*(self-signed|certificate|altnames)/);
    expect((await ended).kind).toBe("unreachable");
  });
});

describe("When it was away", () => {
  test("and is back, the session is there within two seconds, however long its back-off has become", async () => {
    // The port was bound a moment ago, so that no other program is likely to get it meanwhile.
    const first = await ScriptedTracker.start();
    const { session, events } = someSession(first.url);
    void session.run();
    (await first.stream()).welcome();
    expect(await events.next()).toBe("connected");
    first.close();
    expect(await events.next()).toMatch(/^lost: /);
    // Enough failures for a back-off of many seconds.
    for (let failures = 0; failures < 4; failures++) await events.next();
    const again = await ScriptedTracker.start(Number(new URL(first.url).port));
    onTestFinished(() => again.close());
    const back = performance.now();
    (await again.stream()).welcome();
    while ((await events.next()) !== "connected again");
    // The session probes the port once a second, and agents come back within half a second; back-off would take 16 s.
    expect(performance.now() - back).toBeLessThan(2000);
  });
});

import { once } from "node:events";
import { createServer } from "node:net";
import type { AddressInfo, Server } from "node:net";
import { expect, onTestFinished, test, vi } from "vitest";
import { Scout } from "../../../src/agent/session/scout.ts";
import { systemClock } from "../../../src/base/clock.ts";
import { parseTrackerAddresses } from "../../../src/base/network/tracker-address.ts";
import { Queue } from "../../helpers/queue.ts";

async function listen(port = 0): Promise<Server> {
  const server = createServer((socket) => socket.on("error", () => undefined).resume()).listen(port, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => void server.close());
  return server;
}

function portOf(server: Server): number {
  return (server.address() as AddressInfo).port;
}

test("A scout reports an address that was shut and opens, and no other", async () => {
  const always = await listen();
  const late = await listen();
  const port = portOf(late);
  late.close();
  const found = new Queue<string>();
  const addresses = parseTrackerAddresses(`http://127.0.0.1:${portOf(always)},http://127.0.0.1:${port}`);
  const scout = new Scout(addresses, systemClock, ({ text }) => found.push(text));
  onTestFinished(() => scout.stop());
  scout.start();
  // Looks go on at the open address while the other one is shut.
  await once(always, "connection");
  await once(always, "connection");
  const opened = performance.now();
  const again = await listen(port);
  expect(await found.next()).toBe(`http://127.0.0.1:${port}`);
  // A scout checks once a second: at most that, and half a second for a busy machine.
  expect(performance.now() - opened).toBeLessThan(1500);
  // It is open all along from now on.
  await once(again, "connection");
  expect(found.size).toBe(0);
});

test("A scout that is stopped makes no more connections", async () => {
  const server = await listen();
  let connections = 0;
  server.on("connection", () => connections++);
  const scout = new Scout(parseTrackerAddresses(`http://127.0.0.1:${portOf(server)}`), systemClock, () => undefined);
  scout.start();
  await once(server, "connection");
  scout.stop();
  const other = new Scout(parseTrackerAddresses(`http://127.0.0.1:${portOf(server)}`), systemClock, () => undefined);
  onTestFinished(() => other.stop());
  other.start();
  await once(server, "connection");
  await once(server, "connection");
  expect(connections).toBe(3);
});

test("Behind a proxy, a scout asks the proxy for a tunnel, and reports when it is open again", async () => {
  const asked = new Queue<string>();
  let open = false;
  const proxy = createServer((socket) => {
    socket
      .on("error", () => undefined)
      .once("data", (head: Buffer) => {
        asked.push(head.toString("latin1").split("\r\n", 1)[0] ?? "");
        socket.end(`HTTP/1.1 ${open ? "200 OK" : "502 Bad Gateway"}\r\n\r\n`);
      });
  }).listen(0, "127.0.0.1");
  await once(proxy, "listening");
  vi.stubEnv("http_proxy", `127.0.0.1:${portOf(proxy)}`);
  const found = new Queue<string>();
  const scout = new Scout(parseTrackerAddresses("http://tracker.test:7070"), systemClock, ({ text }) =>
    found.push(text),
  );
  onTestFinished(() => {
    scout.stop();
    proxy.close();
    vi.unstubAllEnvs();
  });
  scout.start();
  expect(await asked.next()).toBe("CONNECT tracker.test:7070 HTTP/1.1");
  expect(found.size).toBe(0);
  open = true;
  expect(await found.next()).toBe("http://tracker.test:7070");
});

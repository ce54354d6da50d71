import { once } from "node:events";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { status } from "@grpc/grpc-js";
import { expect, onTestFinished, test, vi } from "vitest";
import type { StreamEnd } from "../../../src/agent/session/stream.ts";
import { Route } from "../../../src/agent/session/route.ts";
import { systemClock } from "../../../src/base/clock.ts";
import { parseTrackerAddresses } from "../../../src/base/network/tracker-address.ts";
import { GoodbyeSchema } from "../../../src/gen/belay/v1/tracker_service_pb.ts";

const cut: StreamEnd = {
  code: status.UNAVAILABLE,
  message: "Connection dropped",
  connected: true,
  welcomed: false,
  openFor: 0,
  goodbye: undefined,
};
const never = new AbortController().signal;

function someRoute(addresses: string, onOpen: () => void = () => undefined): Route {
  const route = new Route(parseTrackerAddresses(addresses), systemClock, onOpen);
  onTestFinished(() => route.stop());
  return route;
}

/** Delays at their longest: jitter gives any share of them. */
function longest(route: Route, ends: readonly StreamEnd[]): number[] {
  const random = vi.spyOn(Math, "random").mockReturnValue(1);
  onTestFinished(() => random.mockRestore());
  return ends.map((end) => route.failed(end, route.next()));
}

test("Addresses take turns", () => {
  const route = someRoute("http://a:1,http://b:1");
  expect([route.next().text, route.next().text, route.next().text]).toEqual(["http://a:1", "http://b:1", "http://a:1"]);
});

test("Back-off doubles from half a second to half a minute", () => {
  const delays = longest(
    someRoute("http://a:1"),
    Array.from({ length: 8 }, () => cut),
  );
  expect(delays).toEqual([500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
});

test("Back-off counts whole rounds: another address gets its chance before the same one is spared", () => {
  expect(longest(someRoute("http://a:1,http://b:1"), [cut, cut, cut, cut])).toEqual([500, 500, 1000, 1000]);
});

test("A stream that was welcomed makes the next try soon; one that was open for a minute, at once", () => {
  const welcomed = { ...cut, welcomed: true };
  const healthy = { ...welcomed, openFor: 60_000 };
  expect(longest(someRoute("http://a:1"), [cut, cut, cut, welcomed, healthy])).toEqual([500, 1000, 2000, 1000, 500]);
});

test("A tracker decides when an agent dials again, if it sends a time", () => {
  const goodbye = create(GoodbyeSchema, { retryDelay: durationFromMs(1234) });
  expect(longest(someRoute("http://a:1"), [{ ...cut, goodbye }])).toEqual([1234]);
});

test("An address that was shut and opens ends the wait, and is the next one", async () => {
  const server = createServer((socket) => socket.on("error", () => undefined).resume()).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  const route = someRoute(`http://127.0.0.1:1,http://127.0.0.1:${port}`);
  const shut = { ...cut, connected: false, message: "connect ECONNREFUSED" };
  route.failed(shut, route.next());
  route.failed(shut, route.next());
  const waiting = route.wait(60_000, never);
  server.listen(port, "127.0.0.1");
  onTestFinished(() => void server.close());
  await waiting;
  expect(route.next().text).toBe(`http://127.0.0.1:${port}`);
});

test("A wait ends when its signal is aborted", async () => {
  const over = new AbortController();
  const waiting = someRoute("http://a:1").wait(60_000, over.signal);
  over.abort();
  await waiting;
});

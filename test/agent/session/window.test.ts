import { expect, test } from "vitest";
import { InFlightWindow } from "../../../src/agent/session/window.ts";

const BATCH = 64 * 1024;

/** Sends at full rate over a path with a bandwidth and a round trip; returns the most bytes that were in flight. */
function mostInFlight(bytesPerMs: number, roundTrip: number, forMs: number): number {
  const window = new InFlightWindow();
  const acks: { at: number; sequence: number }[] = [];
  let sequence = 0;
  let pathFree = 0;
  let most = 0;
  for (let now = 0; now < forMs; now++) {
    while ((acks[0]?.at ?? Number.POSITIVE_INFINITY) <= now) window.acked(acks.shift()?.sequence ?? 0, now);
    while (window.open) {
      window.sent(++sequence, BATCH, now);
      pathFree = Math.max(pathFree, now) + BATCH / bytesPerMs;
      acks.push({ at: pathFree + roundTrip, sequence });
    }
    if (now > forMs / 2) most = Math.max(most, window.inFlight);
  }
  return most;
}

test("on a fast path the window opens to its maximum", () => {
  expect(mostInFlight(200_000, 10, 2000)).toBeGreaterThanOrEqual(4 << 20);
});

test("on a slow path no more is unacknowledged than a heartbeat can wait for", () => {
  // 1 Mbit/s is 125 bytes a millisecond: 128 KiB take one second.
  expect(mostInFlight(125, 50, 60_000)).toBeLessThanOrEqual(4 * BATCH);
});

test("the prompt ack of a small batch that went alone does not open it for the burst behind", () => {
  const window = new InFlightWindow();
  window.sent(1, 20, 0);
  for (let sequence = 2; window.open; sequence++) window.sent(sequence, BATCH, 1);
  const before = window.inFlight;
  window.acked(1, 5);
  while (window.open) window.sent(1000, BATCH, 5);
  expect(window.inFlight).toBeLessThanOrEqual(before + BATCH);
});

test("a tracker's own limit is kept", () => {
  const window = new InFlightWindow(3 * BATCH);
  for (let sequence = 1; sequence < 100; sequence++) {
    while (window.open) window.sent(sequence++, BATCH, 0);
    window.acked(sequence - 1, 1);
  }
  while (window.open) window.sent(1000, BATCH, 2);
  expect(window.inFlight).toBeLessThanOrEqual(4 * BATCH);
});

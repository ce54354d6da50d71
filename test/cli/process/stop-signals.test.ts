import { afterEach, expect, it } from "vitest";
import { type StopSignals, takeStopSignals } from "../../../src/cli/process/stop-signals.ts";

let signals: StopSignals | undefined;
afterEach(() => signals?.release());

it.each([
  ["SIGINT", "ordered"],
  ["SIGTERM", "preempted"],
  ["SIGHUP", "preempted"],
  ["SIGQUIT", "preempted"],
] as const)("%s asks for a stop that is %s, and the reason names the signal", (signal, stopKind) => {
  signals = takeStopSignals();
  signals.receive(signal);
  expect(signals.stop.reason).toMatchObject({ message: `Received ${signal}`, stopKind });
});

it("The first signal asks, the second insists, the third leaves; the first says what the stop means", () => {
  const steps: [string, number][] = [];
  const taken = (signals = takeStopSignals({ remark: (signal, step) => steps.push([signal, step]) }));
  const { stop, stopNow, leave } = taken;
  taken.receive("SIGTERM");
  expect([stop.aborted, stopNow.aborted, leave.aborted]).toEqual([true, false, false]);
  taken.receive("SIGINT");
  expect([stop.aborted, stopNow.aborted, leave.aborted]).toEqual([true, true, false]);
  taken.receive("SIGTERM");
  expect([stop.aborted, stopNow.aborted, leave.aborted]).toEqual([true, true, true]);
  taken.receive("SIGTERM");
  expect(stop.reason).toMatchObject({ stopKind: "preempted" });
  expect(steps).toEqual([
    ["SIGTERM", 1],
    ["SIGINT", 2],
    ["SIGTERM", 3],
  ]);
});

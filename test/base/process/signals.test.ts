import { constants } from "node:os";
import { describe, expect, it } from "vitest";
import { findSignal, realTimeSignal, signalNumber } from "../../../src/base/process/signals.ts";

describe.runIf(process.platform === "linux")("A real-time signal", () => {
  it.each([
    [32, "SIG32"],
    [33, "SIG33"],
    [34, "SIGRTMIN"],
    [35, "SIGRTMIN+1"],
    [64, "SIGRTMIN+30"],
  ] as const)("%i is called %s, and found by that name", (number, name) => {
    expect(realTimeSignal(number)).toBe(name);
    expect(signalNumber(name)).toBe(number);
    expect(findSignal(name)).toBe(name);
  });

  it.each([
    ["rtmin", "SIGRTMIN"],
    ["RTMIN+5", "SIGRTMIN+5"],
    ["SIGRTMAX", "SIGRTMIN+30"],
    ["rtmax-14", "SIGRTMIN+16"],
    ["RTMIN+0", "SIGRTMIN"],
  ])("is found as people write it: %s", (text, name) => {
    expect(findSignal(text)).toBe(name);
  });

  it.each(["RTMIN-1", "RTMAX+1", "RTMIN+31", "RTMAX-31", "RTMIN+", "RTMIN+1+1", "SIG31", "SIG34", "34"])(
    "is not %s",
    (text) => expect(findSignal(text)).toBeUndefined(),
  );

  it.each([0, 1, 15, 31, 65, 127])("is not number %i", (number) => expect(realTimeSignal(number)).toBeUndefined());
});

it.each(Object.entries(constants.signals))("%s has the system's number", (name, number) => {
  expect(signalNumber(name)).toBe(number);
  expect(signalNumber(findSignal(name.slice(3).toLowerCase()) ?? "")).toBe(number);
});

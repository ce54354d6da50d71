import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { describe, expect, it } from "vitest";
import { compileSpec } from "../../../src/agent/job/compile-spec.ts";
import { JobSpecSchema } from "../../../src/gen/belay/v1/job_pb.ts";

type Spec = MessageInitShape<typeof JobSpecSchema>;

describe("A job's spec", () => {
  it("is filled with defaults", () => {
    expect(compileSpec(create(JobSpecSchema, { setup: [{ run: "npm ci\nnpm test" }], command: ["a", "b"] }))).toEqual({
      steps: [
        { number: 1, name: "npm ci", argv: ["/bin/sh", "-c", "npm ci\nnpm test"], main: false },
        { number: 2, name: "a", argv: ["a", "b"], main: true },
      ],
      after: [],
      // The agent's own, of which Node may not know the exact bytes.
      cwd: undefined,
      environment: {},
      timeout: 0,
      setupTimeout: 0,
      grace: 10_000,
      stopSignal: "SIGTERM",
      warning: undefined,
      keepDescendants: false,
      memoryLimitBytes: 0,
      metricsInterval: 5000,
    });
  });

  it("may have a grace period of 0", () => {
    const spec = create(JobSpecSchema, { command: ["a"], gracePeriod: durationFromMs(0), stopSignal: "quit" });
    expect(compileSpec(spec)).toMatchObject({ grace: 0, stopSignal: "SIGQUIT" });
  });

  it("may ask for a warning, 30 s before the stop signal unless it says otherwise", () => {
    const spec = create(JobSpecSchema, { command: ["a"], warnSignal: "SIGUSR1" });
    expect(compileSpec(spec).warning).toEqual({ signal: "SIGUSR1", period: 30_000 });
    expect(compileSpec({ ...spec, warnPeriod: durationFromMs(1500) }).warning?.period).toBe(1500);
    expect(compileSpec({ ...spec, warnPeriod: durationFromMs(0) }).warning).toBeUndefined();
  });

  const rows: [string, Spec, string][] = [
    ["no command", {}, '"command" is empty'],
    ["an empty program", { command: [""] }, '"command" is empty'],
    ["an empty setup step", { command: ["a"], setup: [{ run: "true" }, { run: " " }] }, '"setup[1].run" is empty'],
    ["a NUL", { command: ["a", "b\0c"] }, '"command[1]" holds a NUL'],
    ["an odd variable", { command: ["a"], environment: { "A=B": "c" } }, 'has the name "A=B"'],
    ["a negative time", { command: ["a"], timeout: durationFromMs(-5) }, '"timeout" is -5 ms'],
    ["an unknown signal", { command: ["a"], stopSignal: "SIGSTOPP" }, 'Cannot use stopSignal "SIGSTOPP"'],
  ];
  it.for(rows)("is refused with the place named: %s", ([, spec, message]) => {
    expect(() => compileSpec(create(JobSpecSchema, spec))).toThrow(
      expect.objectContaining({ code: "BAD_SPEC", message: expect.stringContaining(message) as string }) as Error,
    );
  });
});

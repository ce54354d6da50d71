import { describe, expect, it } from "vitest";
import { helperEnvironment, stepEnvironment } from "../../../../src/agent/job/start/environment.ts";

const step = { spec: {}, own: {}, cwd: "/work", jobId: "j1", attempt: 3, step: 2, cookie: "c0ffee" };

describe("A step's environment", () => {
  it("is the agent's without Belay's own variables, and has what the job may know about itself", () => {
    const base = {
      PATH: "/bin",
      "odd.name-1": "kept",
      BELAY_TOKEN_FILE: "/secret",
      BELAY_TRACKER: "https://tracker",
      BELAY_STEP: "9",
      OLDPWD: "/elsewhere",
      GONE: undefined,
    };
    expect(stepEnvironment({ base, ...step })).toEqual({
      PATH: "/bin",
      "odd.name-1": "kept",
      PWD: "/work",
      PYTHONUNBUFFERED: "1",
      BELAY_JOB_ID: "j1",
      BELAY_ATTEMPT: "3",
      BELAY_STEP: "2",
      BELAY_COOKIE: "c0ffee",
    });
  });

  it("has the spec's value of a variable that both set", () => {
    const made = stepEnvironment({
      base: { A: "agent", PYTHONUNBUFFERED: "" },
      ...step,
      spec: { A: "spec", BELAY_OWN: "allowed" },
    });
    expect(made).toMatchObject({ A: "spec", PYTHONUNBUFFERED: "", BELAY_OWN: "allowed" });
  });

  it("names the job's span, whatever the agent itself runs under", () => {
    const base = { TRACEPARENT: "the agent's", TRACESTATE: "its state" };
    const trace = { TRACEPARENT: "the job's" };
    const made = stepEnvironment({ base, ...step, trace });
    expect([made["TRACEPARENT"], made["TRACESTATE"]]).toEqual(["the job's", undefined]);
    expect(stepEnvironment({ base, ...step, trace: {} })).toMatchObject(base);
  });

  it("names the span that the spec's own environment names, and no state of another one", () => {
    const base = { TRACEPARENT: "the agent's", TRACESTATE: "its state" };
    const trace = { TRACEPARENT: "the job's", TRACESTATE: "its state, too" };
    const made = stepEnvironment({ base, ...step, trace, spec: { TRACEPARENT: "mine" } });
    expect([made["TRACEPARENT"], made["TRACESTATE"]]).toEqual(["mine", undefined]);
  });

  it("has the agent's own value of a variable that the agent adds, whatever the spec sets", () => {
    const made = stepEnvironment({ base: {}, ...step, spec: { BELAY_REDACT: "x" }, own: { BELAY_REDACT: "/tmp/f" } });
    expect(made["BELAY_REDACT"]).toBe("/tmp/f");
  });

  it("keeps the cookie of a job that this agent is part of", () => {
    expect(stepEnvironment({ base: { BELAY_COOKIE: "outer" }, ...step })["BELAY_COOKIE"]).toBe("outer:c0ffee");
    expect(helperEnvironment({ PATH: "/x", BELAY_COOKIE: "outer", BELAY_TOKEN: "secret" })).toEqual({
      PATH: expect.stringMatching(/^\/x:.*\/bin$/) as unknown,
      BELAY_COOKIE: "outer",
    });
  });
});

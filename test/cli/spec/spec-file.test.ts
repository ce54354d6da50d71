import { create, toJson } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { parseSpec } from "../../../src/cli/spec/spec-file.ts";
import {
  AfterCondition,
  FailureClass,
  JobSpecSchema,
  StallAction,
  StallSign,
} from "../../../src/gen/belay/v1/job_pb.ts";

const read = (text: string) => parseSpec(text, "job.yaml");

describe("a spec file", () => {
  it("is YAML with the contract's JSON names", () => {
    const spec = read(`
name: train
labels: { team: ml }
setup:
  - name: install
    run: |
      npm ci
  - run: make data
command: [python, train.py, --epochs, 3]
workingDirectory: /srv
environment:
  PORT: 8080
  RATE: 1.10
  DEBUG: true
timeout: 1h30m
gracePeriod: 2.5s
logLimitBytes: 64MiB
keepDescendants: true
`);
    expect(toJson(JobSpecSchema, spec)).toEqual({
      name: "train",
      labels: { team: "ml" },
      setup: [{ name: "install", run: "npm ci\n" }, { run: "make data" }],
      command: ["python", "train.py", "--epochs", "3"],
      workingDirectory: "/srv",
      environment: { PORT: "8080", RATE: "1.10", DEBUG: "true" },
      timeout: "5400s",
      gracePeriod: "2.500s",
      logLimitBytes: String(64 * 1024 * 1024),
      keepDescendants: true,
    });
  });

  it("is JSON as protobuf writes it", () => {
    const spec = create(JobSpecSchema, {
      name: "a",
      command: ["true"],
      timeout: { seconds: 300n },
      gracePeriod: { nanos: 500_000_000 },
      memoryLimitBytes: 123n,
      redactEnvironment: ["TOKEN"],
    });
    expect(read(JSON.stringify(toJson(JobSpecSchema, spec), null, 2))).toEqual(spec);
  });

  it("names the values of the contract's enumerations without their prefix, in any case, or as the contract does", () => {
    const spec = read(`
command: [python, train.py]
retry: { maxAttempts: 3, on: [JOB, preempted, FAILURE_CLASS_INFRASTRUCTURE] }
after:
  - { run: ./upload, when: FAILURE }
stall: { after: 5m, signs: [output, cpu], action: end }
`);
    expect(spec.retry).toMatchObject({
      maxAttempts: 3,
      on: [FailureClass.JOB, FailureClass.PREEMPTED, FailureClass.INFRASTRUCTURE],
    });
    expect(spec.after).toMatchObject([{ when: AfterCondition.FAILURE }]);
    expect(spec.stall).toMatchObject({ signs: [StallSign.OUTPUT, StallSign.CPU], action: StallAction.END });
  });

  it.for([
    ["stall: { action: stop }", 'stall.action: expected one of REPORT, END, found "stop"'],
    ["stall: { action: STALL_ACTION_UNSPECIFIED }", "stall.action: expected one of REPORT, END"],
    ["stall: { signs: [output, gpu] }", 'stall.signs[1]: expected one of OUTPUT, PROGRESS, CPU, found "gpu"'],
    ["stall: { signs: cpu }", 'stall.signs: expected a list such as [OUTPUT, PROGRESS], found "cpu"'],
    [
      "after: [{ run: a, when: [ALWAYS] }]",
      "after[0].when: expected one of ALWAYS, SUCCESS, FAILURE, CANCELED, found a list",
    ],
  ])("refuses %s", ([text, problem]) => {
    expect(() => read(`command: [a]\n${text}\n`)).toThrow(`job.yaml:2: ${problem}`);
  });

  it("takes the contract's own field names, aliases and absent values too", () => {
    const spec = read("command: [true]\nworking_directory: /a\nname:\n");
    expect(spec.workingDirectory).toBe("/a");
    expect(spec.command).toEqual(["true"]);
  });
});

describe("a mistake in a spec file is named with line and key", () => {
  it.each([
    ["command: [a]\nretry: {maxAttempts: 2.5}", `job.yaml:2: retry.maxAttempts: expected a whole number, found "2.5"`],
    ["command: [a]\ntimout: 5s", `job.yaml:2: timout: unknown key: did you mean "timeout"?`],
    ["command: [a]\nzebra: 5s", "job.yaml:2: zebra: unknown key; known are name, labels, setup"],
    ["command: echo hi", `job.yaml:1: command: expected a list such as ["python", "train.py"], found "echo hi"`],
    ["command:\n  - a\n  - [b]", "job.yaml:3: command[1]: expected a text, found a list"],
    ["command: [a]\nsetup:\n  - run: x\n  - rum: y", `job.yaml:4: setup[1].rum: unknown key: did you mean "run"?`],
    ["command: [a]\nsetup: npm ci", "job.yaml:2: setup: expected a list such as - run: npm ci"],
    ["command: [a]\nsetup: [npm ci]", `job.yaml:2: setup[0]: expected keys with values, found "npm ci"`],
    ["command: [a]\n\ntimeout: soon", `job.yaml:3: timeout: expected a duration such as "300s" or "5m", found "soon"`],
    ["command: [a]\nkeepDescendants: maybe", `job.yaml:2: keepDescendants: expected true or false, found "maybe"`],
    ["command: [a]\nlogLimitBytes: lots", `job.yaml:2: logLimitBytes: expected a size such as "64MiB", found "lots"`],
    ["command: [a]\nenvironment:\n  A: [1]", "job.yaml:3: environment.A: expected a text, found a list"],
    ["command: [a]\nenvironment: x", `job.yaml:2: environment: expected keys with values, found "x"`],
    ["- a", "job.yaml:1: expected keys with values, found a list"],
    ["", "job.yaml:1: it is empty"],
    ["command: [a\nname: x", /job\.yaml:2: /],
    ["name: a\nname: b", /job\.yaml:2: Map keys must be unique/],
    [`{"command": ["a"], "name": }x`, /job\.yaml:1: /],
  ])("%j", (text, message) => {
    expect(() => read(text)).toThrow(message);
  });
});

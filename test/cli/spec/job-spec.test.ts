import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { Readable } from "node:stream";
import { toJson } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Command } from "../../../src/cli/flags/command.ts";
import { command } from "../../../src/cli/flags/command.ts";
import { parseCommand } from "../../../src/cli/flags/parse.ts";
import type { JobFlags } from "../../../src/cli/spec/job-flags.ts";
import { jobFlags } from "../../../src/cli/spec/job-flags.ts";
import { specOf } from "../../../src/cli/spec/job-spec.ts";
import type { Invocation } from "../../../src/cli/flags/command.ts";
import { JobSpecSchema } from "../../../src/gen/belay/v1/job_pb.ts";
import { MemoryOutput } from "../memory-output.ts";

const job: Command = command({
  name: "job",
  args: [{ name: "[command...]", help: "" }],
  about: "",
  flags: jobFlags,
  takesCommandLine: true,
  examples: [],
  run: () => Promise.resolve(0),
});

let directory = "";
/** What the last call wrote. */
let stderr = "";
beforeAll(async () => {
  directory = await mkdtemp(path.join(tmpdir(), "belay-spec-"));
});
afterAll(() => rm(directory, { recursive: true }));

async function spec(argv: string[], stdin = "", env: Record<string, string> = {}): Promise<unknown> {
  const io = {
    stdout: new MemoryOutput(),
    stderr: new MemoryOutput(),
    stdin: Readable.from([Buffer.from(stdin)]),
    env,
  };
  stderr = "";
  const parsed = parseCommand(job, argv, env);
  if ("help" in parsed) throw new Error("help was asked for");
  const found = await specOf({ ...parsed, io } as unknown as Invocation<JobFlags>);
  stderr = io.stderr.text;
  return found === undefined ? undefined : toJson(JobSpecSchema, found);
}

describe("--stall-after and --stall-action", () => {
  const command = ["--", "python", "train.py"];

  it("set when a job counts as stalled, and what happens then", async () => {
    expect(await spec(["--stall-after", "5m", "--stall-action", "end", ...command])).toMatchObject({
      stall: { after: "300s", action: "STALL_ACTION_END" },
    });
    expect(await spec(["--stall-after", "90s", ...command])).toMatchObject({ stall: { after: "90s" } });
  });

  it("win over the spec file, each by itself; the signs stay the file's", async () => {
    const file = "command: [python]\nstall: { after: 1h, signs: [CPU], action: END }\n";
    const read = (...flags: string[]) => spec(["--spec", "-", ...flags], file);
    const signs = ["STALL_SIGN_CPU"];
    expect(await read("--stall-after", "5m")).toMatchObject({
      stall: { after: "300s", signs, action: "STALL_ACTION_END" },
    });
    expect(await read("--stall-action", "report")).toMatchObject({
      stall: { after: "3600s", signs, action: "STALL_ACTION_REPORT" },
    });
  });

  it.for([
    [["--stall-after", "0"], 'Cannot use --stall-after "0": expected the time without a sign of life, more than 0'],
    [
      ["--stall-action", "end"],
      "Cannot use --stall-action without --stall-after, the time after which a job counts as stalled",
    ],
    [["--stall-after", "5m", "--stall-action", "kill"], 'Cannot use --stall-action "kill"'],
  ] as const)("refuse %j", async ([flags, message]) => {
    await expect(spec([...flags, ...command])).rejects.toThrow(message);
  });
});

describe("a job on the command line", () => {
  it("has what its flags say", async () => {
    expect(
      await spec(
        [
          ["--name", "n", "--label", "a=1", "--setup", "npm ci", "--setup", "make", "--cwd", "/srv", "--env", "A=1"],
          ["--timeout", "1m", "--setup-timeout", "2m", "--grace", "0", "--stop-signal", "int"],
          ["--warn-signal", "usr2", "--warn-period", "20s"],
          ["--metrics-interval", "1s", "--keep-descendants", "--redact-env", "TOKEN", "--", "npm", "test"],
        ].flat(),
      ),
    ).toEqual({
      name: "n",
      labels: { a: "1" },
      setup: [{ run: "npm ci" }, { run: "make" }],
      workingDirectory: "/srv",
      environment: { A: "1" },
      timeout: "60s",
      setupTimeout: "120s",
      gracePeriod: "0s",
      stopSignal: "SIGINT",
      warnSignal: "SIGUSR2",
      warnPeriod: "20s",
      metricsInterval: "1s",
      keepDescendants: true,
      redactEnvironment: ["TOKEN"],
      command: ["npm", "test"],
    });
  });

  it("has the names of signals as people write them, in a file, too", async () => {
    const file = "command: [a]\nstop_signal: INT\nwarn_signal: usr1\n";
    expect(await spec(["--spec", "-"], file)).toMatchObject({ stopSignal: "SIGINT", warnSignal: "SIGUSR1" });
  });

  it("is nothing when nothing was said: the tracker has it", async () => {
    expect(await spec([])).toBeUndefined();
  });

  it("wins over its spec file; labels and environment are joined", async () => {
    const file = "name: a\nlabels: {x: 1, y: 1}\nenvironment: {A: 1, B: 1}\nsetup: [{run: old}]\ncommand: [old]";
    const flags = ["--spec", "-", "--name", "b", "--label", "y=2", "--env", "B=2", "--setup", "new", "new", "command"];
    expect(await spec(flags, file)).toEqual({
      name: "b",
      labels: { x: "1", y: "2" },
      environment: { A: "1", B: "2" },
      setup: [{ run: "new" }],
      command: ["new", "command"],
    });
  });

  it("has a retry policy by its flags, which win over the spec file's, each for itself", async () => {
    const flags = [
      "--max-attempts",
      "3",
      "--retry-on",
      "job,preempted",
      "--retry-delay",
      "10s",
      "--lost-timeout",
      "5m",
    ];
    const policy = { maxAttempts: 3, on: ["FAILURE_CLASS_JOB", "FAILURE_CLASS_PREEMPTED"], delay: "10s" };
    expect(await spec([...flags, "--", "x"])).toEqual({ command: ["x"], retry: policy, lostTimeout: "300s" });
    const file = "command: [x]\nretry: { maxAttempts: 5, delay: 1m, wait: 1h }";
    expect(await spec(["--spec", "-", "--retry-on", "job", "--retry-on", "JOB", "--retry-delay", "2s"], file)).toEqual({
      command: ["x"],
      retry: { maxAttempts: 5, on: ["FAILURE_CLASS_JOB"], delay: "2s", wait: "3600s" },
    });
    expect(await spec(["--", "x"], "", { BELAY_MAX_ATTEMPTS: "2", BELAY_RETRY_ON: "job,infrastructure" })).toEqual({
      command: ["x"],
      retry: { maxAttempts: 2, on: ["FAILURE_CLASS_JOB", "FAILURE_CLASS_INFRASTRUCTURE"] },
    });
  });

  it.each([
    [["--max-attempts", "0"], 'Cannot use --max-attempts "0": expected a whole number from 1 to 1000'],
    [["--max-attempts", "1001"], 'Cannot use --max-attempts "1001": expected a whole number from 1 to 1000'],
    [["--max-attempts", "2.5"], 'Cannot use --max-attempts "2.5": expected a whole number from 1 to 1000'],
    [
      ["--max-attempts", "2", "--retry-on", "ordered"],
      'Cannot use --retry-on "ordered": expected job, preempted, infrastructure, or several with commas',
    ],
    [["--max-attempts", "2", "--retry-on", ""], /^Cannot use --retry-on "": expected job/],
    [["--retry-on", "job"], "Cannot use --retry-on with one attempt: give --max-attempts 2 or more"],
    [["--retry-delay", "1s"], "Cannot use --retry-delay with one attempt: give --max-attempts 2 or more"],
    [["--max-attempts", "2", "--retry-delay", "soon"], /^Cannot parse --retry-delay "soon": expected a duration/],
    [["--lost-timeout", "-1s"], /^Cannot parse --lost-timeout "-1s"/],
  ])("with %j is BAD_USAGE that names flag and rule", async (flags, message) => {
    await expect(spec([...flags, "--", "x"])).rejects.toMatchObject({
      code: "BAD_USAGE",
      message: typeof message === "string" ? message : expect.stringMatching(message),
    });
  });

  it("in a spec file whose policy breaks a rule is BAD_SPEC that names the field", async () => {
    await expect(spec(["--spec", "-"], "command: [x]\nretry: { maxAttempts: 0 }")).rejects.toMatchObject({
      code: "BAD_SPEC",
      message: 'Cannot use the job\'s spec: "retry.max_attempts" is 0: expected 1 to 1000',
    });
  });

  it("passes variables on by name, and reads them from files", async () => {
    const file = path.join(directory, "vars");
    await writeFile(file, "A=file\nB=file\n");
    expect(await spec(["--env-file", file, "--env", "B", "--", "x"], "", { B: "here" })).toMatchObject({
      environment: { A: "file", B: "here" },
    });
  });
});

describe("the trace in which a command runs", () => {
  const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

  it("goes on with the job", async () => {
    const env = { TRACEPARENT: parent, TRACESTATE: "v=1" };
    expect(await spec(["--", "x"], "", env)).toMatchObject({ traceParent: parent, traceState: "v=1" });
  });

  it("is that of the spec file, if it names one", async () => {
    const own = parent.replace("-01", "-00");
    const file = `command: [x]\ntraceParent: ${own}\n`;
    const env = { TRACEPARENT: parent, TRACESTATE: "v=1" };
    expect(await spec(["--spec", "-"], file, env)).toEqual({ command: ["x"], traceParent: own });
  });

  it("is left out, with a word, if it cannot be used", async () => {
    expect(await spec(["--", "x"], "", { TRACEPARENT: "nonsense" })).toEqual({ command: ["x"] });
    expect(stderr).toContain('belay: Ignored TRACEPARENT "nonsense": expected a W3C traceparent\n');
    const env = { TRACEPARENT: parent, TRACESTATE: "no state" };
    expect(await spec(["--", "x"], "", env)).toEqual({ command: ["x"], traceParent: parent });
  });
});

describe("a mistake is named", () => {
  it.each([
    [["--timeout", "5s"], "Cannot use --timeout without a job: give a command after --, or --spec"],
    [["--env", "NOT_SET", "--", "x"], "Cannot pass on --env NOT_SET: it is not set here"],
    [["--warn-signal", "BAR", "--", "x"], `Cannot use --warn-signal "BAR": expected the name of a signal`],
    [["--warn-period", "5s", "--", "x"], '"warn_period" is set without warn_signal'],
    [["--stop-signal", "SIGFOO", "--", "x"], `Cannot use --stop-signal "SIGFOO": expected the name of a signal`],
    [["--spec", "-"], "The spec - has no command"],
    [["--", ""], "The command's first word is empty"],
    [["--env-file", "/no/such", "--", "x"], `Cannot read --env-file "/no/such": there is no such file`],
  ])("%j", async (argv, message) => {
    await expect(spec(argv, "name: a")).rejects.toThrow(message);
  });
});

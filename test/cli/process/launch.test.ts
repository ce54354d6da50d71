import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { nodeTookEnvFile, takeLaunch } from "../../../src/cli/process/launch.ts";

/** As of a process with HUP (1) and PIPE (13) ignored, USR1 (10) blocked, and a name that is a trap. */
const STAT = `7 (a) b (c) R 1 7 7 0 -1 4194304 ${"0 ".repeat(21)}0 512 4097 0`;
const noted = { BELAY_LAUNCH_OPEN_FILES: "1024", BELAY_LAUNCH_STAT: STAT, BELAY_LAUNCH_ODD: "" };

describe("what launch.sh has noted", () => {
  it("is read and taken out of the environment", () => {
    const env = { ...noted, HOME: "/root", BELAY_LAUNCH_FOR_JOB_NODE_OPTIONS: "--x" };
    expect(takeLaunch(env)).toEqual({
      environment: { HOME: "/root", NODE_OPTIONS: "--x" },
      inherited: { openFiles: 1024, ignoredSignals: 4097, blockedSignals: 512 },
    });
    expect(env).toEqual({ HOME: "/root" });
  });

  it("holds variables whose names that shell could not keep", () => {
    const entries = "a.b=1=2\0BASH_FUNC_f%%=() {  echo\n}\0";
    const env = { ...noted, BELAY_LAUNCH_ODD: Buffer.from(entries).toString("base64") };
    expect(takeLaunch(env).environment).toEqual({ "a.b": "1=2", "BASH_FUNC_f%%": "() {  echo\n}" });
  });

  it("knows of no limit where there is none, and of no signals where there is no /proc", () => {
    const env = { ...noted, BELAY_LAUNCH_OPEN_FILES: "unlimited", BELAY_LAUNCH_STAT: "" };
    expect(takeLaunch(env).inherited).toEqual({ openFiles: undefined, ignoredSignals: 0, blockedSignals: 0 });
  });

  it("is nothing when Node was started on the script", () => {
    expect(takeLaunch({ A: "1", NODE_OPTIONS: "" })).toEqual({
      environment: { A: "1", NODE_OPTIONS: "" },
      inherited: undefined,
    });
  });
});

it("variables that libraries obey are kept from them, and for the job", () => {
  const env = { ...noted, GRPC_TRACE: "all", LOG_TOKENS: "1", FORCE_COLOR: "1", OTEL_SERVICE_NAME: "x" };
  expect(takeLaunch(env).environment).toEqual({
    GRPC_TRACE: "all",
    LOG_TOKENS: "1",
    FORCE_COLOR: "1",
    OTEL_SERVICE_NAME: "x",
  });
  expect(env).toEqual({ OTEL_SERVICE_NAME: "x" });
});

describe("Node takes --env-file out of a command line", () => {
  const byNode = { environment: {}, inherited: undefined };
  it.each([
    [["run", "--env-file", "F", "--", "x"], true],
    [["run", "--env-file=F", "--", "x"], true],
    [["run", "--env-file-if-exists=F"], true],
    [["run", "--", "x", "--env-file", "F"], false],
    [["run", "--env-files"], false],
  ])("%j: %s", (argv, taken) => {
    expect(nodeTookEnvFile(byNode, argv)).toBe(taken);
    expect(nodeTookEnvFile({ ...byNode, inherited: takeLaunch({ ...noted }).inherited }, argv)).toBe(false);
  });
});

it("launch.sh cannot end the comment that it is to Node", () => {
  const script = readFileSync(new URL("../../../src/cli/bundle/launch.sh", import.meta.url), "utf8");
  expect(script.match(/\*\//g)).toHaveLength(1);
  expect(script.trimEnd().endsWith("\n*/")).toBe(true);
});

it("docs/environment.md lists what launch.sh keeps from Node", () => {
  const root = new URL("../../../", import.meta.url);
  const script = readFileSync(new URL("src/cli/bundle/launch.sh", root), "utf8");
  const names =
    /^for name in ([^;]*?)^do$/ms
      .exec(script)?.[1]
      ?.split(/[\s\\]+/)
      .filter(Boolean) ?? [];
  expect(names).toContain("NODE_OPTIONS");
  const docs = readFileSync(new URL("docs/environment.md", root), "utf8");
  expect(names.filter((name) => !docs.includes(`\`${name}\``))).toEqual([]);
});

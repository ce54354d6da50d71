import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished, test } from "vitest";
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

  it("has no limit where none is set, and no signals where there is no /proc", () => {
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

test("No signal opens Node's debugger, not even before the program's first line", async () => {
  const directory = mkdtempSync(join(tmpdir(), "belay-launch-"));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  // A "node" that runs Node with the launcher's flags, but a program that has no listener for the signal.
  const program = join(directory, "program.js");
  writeFileSync(program, 'console.log("ready"); setTimeout(() => console.log("over"), 1000);');
  const flags = '[ "$1" = -- ] && break; flags="$flags $1"; shift';
  const node = `#!/bin/sh\nwhile :; do ${flags}; done\nexec ${process.execPath} $flags -- ${program}\n`;
  writeFileSync(join(directory, "node"), node, { mode: 0o755 });
  const child = spawn("sh", ["dist/cli/main.js", "--version"], {
    env: { PATH: `${directory}:${process.env["PATH"]}` },
  });
  let output = "";
  child.stdout.on("data", (chunk) => {
    output += String(chunk);
    if (String(chunk).includes("ready")) child.kill("SIGUSR1");
  });
  child.stderr.on("data", (chunk) => (output += String(chunk)));
  await once(child, "close");
  expect(output).toMatch(/^ready\n/);
  expect(output).toMatch(/over\n$/);
  expect(output).not.toContain("Debugger listening");
});

import { createHash } from "node:crypto";
import { execFileSync } from "node:child_process";
import { writeFile } from "node:fs/promises";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { tempDirectory, TrackerProcess } from "../helpers/cli.ts";

const LINES = 5_000_000;

describe("The log of a job that prints five million lines", () => {
  it.each([
    ["stdout", `seq 1 ${LINES}`],
    ["stderr", `seq 1 ${LINES} >&2`],
  ])("is exact to the byte on %s", async (stream, script) => {
    const tracker = await TrackerProcess.start();
    const run = await tracker.ends("run", "--job", "j1", "--quiet", "--", "sh", "-c", script);
    expect(run).toMatchObject({ code: 0, stdout: "", stderr: "" });
    const log = await tracker.ends("logs", "j1", "--stream", stream);
    expect(log.code).toBe(0);
    expect(digest(log.stdoutBytes)).toBe(digest(execFileSync("seq", ["1", String(LINES)], { maxBuffer: 2 ** 28 })));
    const other = await tracker.ends("logs", "j1", "--stream", stream === "stdout" ? "stderr" : "stdout");
    expect(other.stdoutBytes.length).toBe(0);
    expect((await tracker.ends("show", "j1")).stdout).toMatch(
      new RegExp(`${stream} 37.1 MiB, ${LINES} lines, complete`),
    );
  });
});

describe("The two streams of a job", () => {
  it("are printed in the order in which they were read", async () => {
    const tracker = await TrackerProcess.start();
    const script = "for i in 1 2 3; do echo out $i; sleep 0.05; echo err $i >&2; sleep 0.05; done";
    await tracker.ends("run", "--job", "j1", "--", "sh", "-c", script);
    expect((await tracker.ends("logs", "j1")).stdout).toBe("out 1\nerr 1\nout 2\nerr 2\nout 3\nerr 3\n");
    expect((await tracker.ends("logs", "--stream", "stderr", "j1")).stdout).toBe("err 1\nerr 2\nerr 3\n");
  });

  it("may contain any bytes, and are printed unchanged", async () => {
    const tracker = await TrackerProcess.start();
    const script = "process.stdout.write(Buffer.from(Array.from({ length: 1024 }, (_, i) => i & 255)))";
    await tracker.ends("run", "--job", "j1", "--quiet", "--", process.execPath, "-e", script);
    const log = await tracker.ends("logs", "--stream", "stdout", "j1");
    expect(log.stdoutBytes).toEqual(Buffer.from(Array.from({ length: 1024 }, (_, i) => i & 255)));
  });
});

describe("A user who reads a log", () => {
  it("with -f sees lines while the job runs, and gets the prompt back when it ends", async () => {
    const tracker = await TrackerProcess.start();
    const gate = path.join(await tempDirectory(), "gate");
    const script = `echo first; until [ -e ${gate} ]; do sleep 0.02; done; echo last`;
    const run = tracker.belay("run", "--job", "j1", "--", "sh", "-c", script);
    await run.says(/first/);
    const logs = tracker.belay("logs", "-f", "j1");
    await logs.says(/first/);
    expect(logs.child.exitCode).toBeNull();
    await writeFile(gate, "");
    await run.ended;
    expect(await logs.ended).toBe(0);
    expect(logs.stdout).toBe("first\nlast\n");
  });

  it("with --tail gets that many lines before the end", async () => {
    const tracker = await TrackerProcess.start();
    await tracker.ends("run", "--job", "j1", "--quiet", "--", "seq", "1", "100");
    expect((await tracker.ends("logs", "--tail", "3", "j1")).stdout).toBe("98\n99\n100\n");
    expect((await tracker.ends("logs", "--tail", "0", "j1")).stdout).toBe("");
  });

  it("with --json gets the contract's chunks", async () => {
    const tracker = await TrackerProcess.start();
    await tracker.ends("run", "--job", "j1", "--quiet", "--", "echo", "hi");
    const chunk: unknown = JSON.parse((await tracker.ends("logs", "--json", "j1")).stdout);
    expect(chunk).toMatchObject({ stream: "LOG_STREAM_STDOUT", data: Buffer.from("hi\n").toString("base64") });
  });

  it("through head gets the first lines, and no error", async () => {
    const tracker = await TrackerProcess.start();
    await tracker.ends("run", "--job", "j1", "--quiet", "--", "seq", "1", "1000000");
    const logs = tracker.belay("logs", "j1");
    await logs.says(/^10$/m);
    logs.child.stdout?.destroy();
    expect(await logs.ended).toBe(0);
    expect(logs.stderr).toBe("");
  });
});

function digest(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

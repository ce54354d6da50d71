import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmdirSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { describe, expect, it, onTestFinished, type TestContext } from "vitest";
import { belayEnds, tempDirectory, TrackerProcess } from "../helpers/cli.ts";

/** Mounts a file system of a given size. */
function smallFileSystem({ skip }: TestContext, size: string): string {
  const directory = mkdtempSync(path.join(tmpdir(), "belay-disk-"));
  onTestFinished(() => rmdirSync(directory));
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", `size=${size}`, "tmpfs", directory], { stdio: "ignore" });
  } catch {
    skip("only root can mount a file system");
  }
  onTestFinished(() => void execFileSync("umount", ["-l", directory]));
  return directory;
}

describe("belay flush", () => {
  it("rejects a directory that it cannot read", async () => {
    const directory = await tempDirectory();
    const file = path.join(directory, "file");
    writeFileSync(file, "");
    const cases = [
      ["/no/such/dir", 'Cannot read the spool directory "/no/such/dir": it does not exist (ENOENT)'],
      [file, `Cannot read the spool directory "${file}": it is not a directory (ENOTDIR)`],
      [`${file}/x`, `Cannot read the spool directory "${file}/x": it is not a directory (ENOTDIR)`],
      ["", "Missing directory: expected the agent's --spool-dir"],
    ] as const;
    const answers = await Promise.all(cases.map(([given]) => belayEnds(["flush", given])));
    expect(answers).toMatchObject(cases.map(([, text]) => ({ code: 64, stdout: "", stderr: `belay: ${text}\n` })));
    const empty = await belayEnds(["flush", await tempDirectory()]);
    expect(empty).toMatchObject({ code: 0, stdout: expect.stringMatching(/^Nothing is left in /) });
  });

  it("removes empty spools, but neither those of agents that are starting nor files of other programs", async () => {
    const directory = await tempDirectory();
    const make = (name: string, files: string[], old: boolean): string => {
      const made = path.join(directory, name);
      mkdirSync(made);
      for (const file of files) writeFileSync(path.join(made, file), "");
      if (old) utimesSync(made, 1e9, 1e9);
      return made;
    };
    const session = (n: number): string => `0193a7c0-0000-7000-8000-00000000000${n}`;
    const unused = make(session(1), ["lock"], true);
    const cutShort = make(session(2), ["lock", "meta.json.new"], true);
    const young = make(session(3), ["lock"], false);
    const foreign = make(session(4), ["lock", "precious"], true);
    const empty = make(session(5), [], true);
    const damaged = make(session(6), ["lock", "logs-0000000000000001.seg"], true);
    const done = await belayEnds(["flush", directory]);
    expect([unused, cutShort, young, foreign, empty, damaged].map(existsSync)).toEqual([
      false,
      false,
      true,
      true,
      true,
      true,
    ]);
    expect(done.code).toBe(125);
    expect(done.stdout).toMatch(/^Not yet .*0006: Cannot read the spool ".*": meta\.json: .*\n$/);
  });
});

describe("a spool directory on a full disk", () => {
  it("stays empty if it could never be used", async (context) => {
    const disk = smallFileSystem(context, "4k");
    writeFileSync(path.join(disk, "filler"), "x".repeat(4096));
    const tracker = await TrackerProcess.start();
    const run = await tracker.ends("run", "--job", "j1", "--spool-dir", disk, "--", "echo", "hi");
    expect(run).toMatchObject({ code: 0, stdout: "hi\n" });
    expect(run.stderr).toMatch(/the disk is full \(ENOSPC\)\. The job goes on; output is kept in memory/);
    expect(readdirSync(disk)).toEqual(["filler"]);
  });

  it("is not reported as having kept records that did not fit", async (context) => {
    const disk = smallFileSystem(context, "1m");
    const tracker = await TrackerProcess.start();
    const script = "echo ready; read -r _ < fifo; seq 300000";
    const cwd = await tempDirectory();
    execFileSync("mkfifo", [path.join(cwd, "fifo")]);
    const flags = ["--job", "j1", "--quiet", "--spool-dir", disk, "--flush-timeout", "300ms", "--cwd", cwd];
    const run = tracker.belay("run", ...flags, "--", "sh", "-c", script);
    for (;;) if ((await tracker.ends("logs", "j1")).stdout === "ready\n") break;
    await tracker.cli.kill("SIGKILL");
    writeFileSync(path.join(cwd, "fifo"), "go\n");
    expect(await run.ended).toBe(125);
    expect(run.stderr).toMatch(
      /the rest is kept, but [\d.]+ KiB could not be spooled and are lost; deliver it later with: belay flush /,
    );
    // Records that did fit are delivered, and the directory is empty then.
    const again = await TrackerProcess.start({ data: tracker.data, listen: new URL(tracker.url).host });
    const flushed = await belayEnds(["flush", disk, "--tracker", again.url]);
    expect(flushed.stdout).toMatch(/^Delivered {2}job j1, attempt 1: stdout: \d+ of 1988901 bytes are stored/);
    expect(readdirSync(disk)).toEqual([]);
    expect((await again.ends("logs", "--stream", "stdout", "j1")).stdout).toMatch(/^ready\n1\n2\n3\n/);
  });
});

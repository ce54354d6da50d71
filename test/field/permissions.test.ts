import { chmod, mkdir, readdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { belayEnds, tempDirectory, TrackerProcess } from "../helpers/cli.ts";

/** Paths of files and directories on which other users than the owner have any permission. */
async function openToOthers(directory: string): Promise<string[]> {
  const found: string[] = [];
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (((await stat(path)).mode & 0o077) !== 0) found.push(path.slice(directory.length));
  }
  return found;
}

/** Sets a umask of 0 for processes that this one starts. */
function withOpenUmask(): void {
  const before = process.umask(0);
  onTestFinished(() => void process.umask(before));
}

describe("With a umask of 0, in directories that others made and opened to everyone", () => {
  test("no file of tracker, agent or commands can be read by other users, and the tracker warns", async () => {
    withOpenUmask();
    const home = await tempDirectory();
    const [data, spool, config, cache] = ["data", "spool", "config", "cache"].map((name) => join(home, name)) as [
      string,
      string,
      string,
      string,
    ];
    for (const directory of [data, spool, config, cache]) await mkdir(directory, { mode: 0o755 });
    // As an older version may have left it.
    await writeFile(join(data, "belay.db"), "");
    await mkdir(join(data, "logs"), { mode: 0o755 });
    const env = { XDG_CONFIG_HOME: config, TMPDIR: cache };
    const tracker = await TrackerProcess.start({ data });
    expect(tracker.cli.stderr).toMatch(/data directory is open to other users.*mode=0?755/);
    const gate = join(home, "gate");
    const script = `echo hello; until [ -e ${gate} ]; do sleep 0.02; done`;
    const flags = ["--tracker", tracker.url, "--job", "j", "--spool-dir", spool, "--env", "SOME=value"];
    const run = tracker.belay("run", ...flags.slice(2), "--", "sh", "-c", script);
    await run.says(/hello/);
    // At a moment when all files exist: the database with its -wal and -shm, the log, and the spool.
    await expect.poll(() => readdir(join(data, "logs"))).toContain("1");
    for (const directory of [data, spool]) expect(await openToOthers(directory)).toEqual([]);
    expect((await readdir(data)).toSorted()).toEqual([
      "belay.db",
      "belay.db-shm",
      "belay.db-wal",
      "lock",
      "logs",
      "reserve",
    ]);
    expect(await readdir(spool)).toHaveLength(1);
    await writeFile(gate, "");
    expect(await run.ended).toBe(0);
    expect(await belayEnds(["config", "set", "tracker", tracker.url], { env })).toMatchObject({ code: 0 });
    for (const directory of [config, cache]) expect(await openToOthers(directory)).toEqual([]);
    expect(await readdir(config)).toEqual(["belay"]);
    expect(await readdir(cache)).toHaveLength(1);
  });

  test("a directory that the tracker makes is closed to other users, and there is no warning", async () => {
    withOpenUmask();
    const home = await tempDirectory();
    await chmod(home, 0o755);
    const tracker = await TrackerProcess.start({ data: join(home, "data") });
    expect((await stat(tracker.data)).mode & 0o777).toBe(0o700);
    expect(tracker.cli.stderr).not.toMatch(/open to other users/);
  });
});

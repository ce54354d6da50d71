import { execFileSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, it } from "vitest";
import { ownCgroup } from "../../../../src/agent/job/tree/cgroup.ts";
import { countList, LimitFinder } from "../../../../src/agent/job/usage/limits.ts";

const LIMITS = fileURLToPath(new URL("../../../../src/agent/job/usage/limits.ts", import.meta.url));
const PRINT = `const { LimitFinder } = await import(${JSON.stringify(LIMITS)}); console.log(JSON.stringify(new LimitFinder("", "").find()))`;
const NODE = [process.execPath, "--no-warnings", "--input-type=module", "-e", PRINT];

const made: string[] = [];
afterEach(() => {
  for (const directory of made.splice(0).toReversed()) fs.rmSync(directory, { recursive: true, force: true });
});

/** Directories like those of cgroups, one in the other, the outermost first. */
function cgroups(...levels: Record<string, string>[]): string {
  let directory = fs.mkdtempSync(path.join(os.tmpdir(), "belay-limits-"));
  made.push(directory);
  for (const files of levels) {
    directory = path.join(directory, "level");
    fs.mkdirSync(directory);
    for (const [name, text] of Object.entries({ "cgroup.procs": "", ...files })) {
      fs.writeFileSync(path.join(directory, name), text);
    }
  }
  return directory;
}

describe("What a job may use", () => {
  it("is limited by the lowest quota of its cgroup and those above it", () => {
    const own = cgroups(
      { "cpu.max": "50000 100000\n", "memory.max": "max\n" },
      { "cpu.max": "max 100000\n", "memory.max": "300000000\n" },
      { "cpu.max": "80000 100000\n", "memory.max": "400000000\n" },
    );
    expect(new LimitFinder(own, own).find()).toEqual({ cores: 0.5, memoryBytes: 300_000_000 });
  });

  it("is not changed by a limit above what the machine has", () => {
    const own = cgroups({ "cpu.max": "9999999 100000\n", "memory.max": "9223372036854771712\n" });
    const { cores, memoryBytes } = new LimitFinder(own, own).find();
    expect(cores).toBeLessThanOrEqual(os.cpus().length);
    expect(memoryBytes).toBe(0);
  });

  it("includes the limits of all ancestors in a v1 memory controller", () => {
    const memory = cgroups({ "memory.stat": "cache 0\nhierarchical_memory_limit 200000000\ntotal_cache 0\n" });
    expect(new LimitFinder(cgroups({}), memory).find().memoryBytes).toBe(200_000_000);
  });

  it("is limited to the processors that the agent may run on", () => {
    const [file = "", ...args] = NODE;
    const out = execFileSync("taskset", ["-c", "0", file, ...args], { encoding: "utf8" });
    expect(JSON.parse(out)).toMatchObject({ cores: 1 });
  });

  const cpu = ownCgroup("cpu");
  const parent = cpu === undefined || process.getuid?.() !== 0 ? undefined : cpu;
  it.skipIf(parent === undefined)(
    "is bound by the quota of a v1 cpu controller around it (needs root and such a controller)",
    () => {
      const outer = path.join(parent ?? "", `belay-limits-${process.pid}`);
      const inner = path.join(outer, "inner");
      fs.mkdirSync(inner, { recursive: true });
      try {
        fs.writeFileSync(path.join(outer, "cpu.cfs_quota_us"), "150000");
        const script = 'echo $$ > "$0/cgroup.procs" && exec "$@"';
        const out = execFileSync("sh", ["-c", script, inner, ...NODE], { encoding: "utf8" });
        expect(JSON.parse(out)).toMatchObject({ cores: Math.min(1.5, os.availableParallelism()) });
      } finally {
        fs.rmdirSync(inner);
        fs.rmdirSync(outer);
      }
    },
  );

  it("counts processors in the kernel's list format", () => {
    expect(["0", "0-3", "0-1,4", "2,5-7,9"].map(countList)).toEqual([1, 4, 3, 5]);
  });
});

import { execFile } from "node:child_process";
import path from "node:path";
import { expect, test } from "vitest";

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function bench(...args: readonly string[]): Promise<Ended> {
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      [path.join(import.meta.dirname, "main.ts"), ...args],
      (_, stdout, stderr) => resolve({ code: child.exitCode, stdout, stderr }),
    );
  });
}

test("--help and --list show flags and benchmarks", async () => {
  expect(await bench("--help")).toMatchObject({ code: 0, stdout: expect.stringContaining("Usage: npm run bench") });
  const { stdout } = await bench("--list", "throughput");
  expect(stdout.split("\n").map((line) => line.split(":")[0])).toEqual([
    "throughput-lines",
    "throughput-short",
    "throughput-long",
    "throughput-job",
    "",
  ]);
});

test("a wrong call is rejected with 64 and the wrong argument", async () => {
  expect(await bench("strat")).toMatchObject({ code: 64, stdout: "", stderr: expect.stringContaining('"strat"') });
});

test("--json prints one object a row and nothing else", async () => {
  const { code, stdout } = await bench("--json", "--runs", "1", "start");
  const rows = stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  expect(rows.map(({ key }) => key)).toEqual(["start.node", "start.python", "start.end"]);
  expect(rows[0]).toMatchObject({
    unit: "ms",
    ours: { values: [expect.any(Number)] },
    reference: { what: "node -e 0", figure: { values: [expect.any(Number)] } },
    ratio: expect.any(Number),
    machine: { cores: expect.any(Number), node: process.versions.node },
  });
  expect(code).toBe(0);
}, 60_000);

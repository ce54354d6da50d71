import { expect, it } from "vitest";
import { formatSize } from "../../src/contract/sizes.ts";
import { MODES } from "../agent/job/driver.ts";
import { TrackerProcess } from "../helpers/cli.ts";

// Without a cgroup, a peak between two measurements of the agent is missed.
const inCgroup = MODES.some(({ containment, skip }) => containment === "cgroup" && skip === undefined);
const most = inCgroup ? "has that as its" : "has a";

it(`A job that holds much memory for a moment ${most} peak in every view and format`, async () => {
  const tracker = await TrackerProcess.start();
  const script = "let held = Buffer.alloc(200_000_000, 1); setTimeout(() => (held = undefined), 300)";
  await tracker.ends("run", "--job", "j1", "--", process.execPath, "-e", script);
  const [show, job, text, json, csv] = await Promise.all([
    tracker.ends("show", "j1"),
    tracker.ends("show", "--json", "j1"),
    tracker.ends("metrics", "j1"),
    tracker.ends("metrics", "--json", "j1"),
    tracker.ends("metrics", "--csv", "j1"),
  ]);
  const { result } = JSON.parse(job.stdout) as { result: { usage: { peakMemoryBytes: string } } };
  const peak = Number(result.usage.peakMemoryBytes);
  expect(peak).toBeGreaterThan(inCgroup ? 200_000_000 : 0);
  expect(show.stdout).toContain(`${formatSize(peak)} at most`);
  const answers = json.stdout.trim().split("\n");
  const samples = answers.flatMap((line) => (JSON.parse(line) as { samples: { peakMemoryBytes: string }[] }).samples);
  expect(Math.max(...samples.map(({ peakMemoryBytes }) => Number(peakMemoryBytes)))).toBe(peak);
  const [header = "", ...rows] = csv.stdout
    .trim()
    .split("\n")
    .map((line) => line.split(","));
  const column = Array.from(header).indexOf("peak_memory_bytes");
  expect(Math.max(...rows.map((row) => Number(row[column])))).toBe(peak);
  const cells = (name: string): string[] =>
    new RegExp(`^${name} +.*$`, "m").exec(text.stdout)?.[0].split(/ {2,}/) ?? [];
  expect(cells("memory")).toContain(formatSize(peak));
  const [, , average, most] = cells("cpu").map(Number);
  expect(most).toBeGreaterThanOrEqual(average ?? Number.POSITIVE_INFINITY);
});

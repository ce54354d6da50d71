import { writeFile } from "node:fs/promises";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { belayEnds, tempDirectory, TrackerProcess } from "../helpers/cli.ts";

describe("A newcomer", () => {
  it("sees the commands and first steps", async () => {
    const help = await belayEnds([]);
    expect(help.code).toBe(0);
    expect(help.stdout).toMatch(/belay demo +# see it work/);
    expect((await belayEnds(["--version"])).stdout).toMatch(/^belay \d+\.\d+\.\d+\n$/);
    expect((await belayEnds(["run", "--help"])).stdout).toContain("Exit codes:");
    expect((await belayEnds(["help", "wait"])).stdout).toContain("Exit codes:");
  });

  it("reads in the list of an empty tracker how to run a job", async () => {
    const tracker = await TrackerProcess.start();
    const jobs = await tracker.ends("jobs");
    expect(jobs).toMatchObject({ code: 0, stdout: "" });
    expect(jobs.stderr).toContain(`belay run --tracker ${tracker.url} --job hello -- echo 'it works'`);
    expect(tracker.cli.stderr).toContain(`belay run --tracker ${tracker.url} -- echo 'it works'`);
  });
});

describe("A user who lists jobs", () => {
  it("gets the newest first, in columns that programs can cut", async () => {
    const tracker = await TrackerProcess.start();
    await tracker.ends("run", "--job", "a", "--name", "with spaces", "--label", "team=ml", "--", "true");
    await tracker.ends("run", "--job", "b", "--", "sh", "-c", "exit 3");
    await tracker.ends("submit", "--job", "c", "--", "echo", "hi");
    const lines = (await tracker.ends("jobs")).stdout
      .trim()
      .split("\n")
      .map((line) => line.split(/ +/));
    expect(lines.map((cells) => cells.slice(0, 2))).toEqual([
      ["JOB", "STATE"],
      ["c", "PENDING"],
      ["b", "FAILED"],
      ["a", "SUCCEEDED"],
    ]);
    expect(lines[2]?.[4]).toBe("3");
    expect(lines[3]?.slice(7).join(" ")).toBe("with spaces");
  });

  it("filters them by state, label and name, and with --json gets Jobs of the contract", async () => {
    const tracker = await TrackerProcess.start();
    await tracker.ends("submit", "--job", "a", "--label", "team=ml", "--", "true");
    await tracker.ends("submit", "--job", "b", "--name", "n", "--", "true");
    const ids = async (...args: string[]): Promise<unknown[]> =>
      (await tracker.ends("jobs", "--json", ...args)).stdout
        .split("\n")
        .filter((line) => line !== "")
        .map((line) => (JSON.parse(line) as { jobId: string }).jobId);
    expect(await ids()).toEqual(["b", "a"]);
    expect(await ids("--label", "team=ml")).toEqual(["a"]);
    expect(await ids("--name", "n")).toEqual(["b"]);
    expect(await ids("--state", "pending", "--limit", "1")).toEqual(["b"]);
    expect(await ids("--state", "running,pending")).toEqual(["b", "a"]);
    expect(await ids("--state", "running")).toEqual([]);
    expect((await tracker.ends("jobs", "--state", "running")).stderr).toBe("No job matches.\n");
  });
});

it("A tracker that is asked to stop sends Goodbye, and its agents wait for its return", async () => {
  let tracker = await TrackerProcess.start();
  const gate = path.join(await tempDirectory(), "gate");
  const script = `echo ready; until [ -e ${gate} ]; do sleep 0.02; done; echo done`;
  const run = tracker.belay("run", "--job", "j1", "--", "sh", "-c", script);
  await run.says(/ready/);
  expect(await tracker.cli.kill("SIGTERM")).toBe(0);
  tracker = await TrackerProcess.start({ data: tracker.data, listen: new URL(tracker.url).host });
  await writeFile(gate, "");
  expect(await run.ended, run.stderr).toBe(0);
  expect((await tracker.ends("logs", "j1")).stdout).toBe("ready\ndone\n");
});

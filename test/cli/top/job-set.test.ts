import type { MessageInitShape } from "@bufbuild/protobuf";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { describe, expect, test } from "vitest";
import { JobSet, LINGER_MS } from "../../../src/cli/top/job-set.ts";
import type { Job } from "../../../src/gen/belay/v1/job_pb.ts";
import { JobSchema, JobState, LogStream } from "../../../src/gen/belay/v1/job_pb.ts";
import { NOON } from "./some-row.ts";

function job(fields: Exclude<MessageInitShape<typeof JobSchema>, Job> = {}): Job {
  return create(JobSchema, {
    jobId: "j",
    state: JobState.RUNNING,
    version: 1n,
    createTime: timestampFromMs(NOON - 60_000),
    startTime: timestampFromMs(NOON - 60_000),
    ...fields,
  });
}

const using = (cpuCores: number, fields: object = {}): Exclude<MessageInitShape<typeof JobSchema>, Job> => ({
  attempts: [{ attempt: 1, connected: true, metrics: { cpuCores, memoryBytes: 100n }, ...fields }],
});

describe("Of two answers about a job", () => {
  test("the newer counts, in whatever order they arrive", () => {
    const jobs = new JobSet();
    jobs.put(job({ version: 2n, state: JobState.PAUSED }), NOON);
    jobs.put(job({ version: 1n }), NOON);
    expect(jobs.get("j")?.state).toBe(JobState.PAUSED);
  });

  test("the later counts if both have the same version: samples do not change it", () => {
    const jobs = new JobSet();
    jobs.put(job(using(1)), NOON);
    jobs.put(job(using(2)), NOON);
    expect(jobs.get("j")?.cpuCores).toBe(2);
  });
});

describe("A job that has ended", () => {
  test("while we watched stays for a moment", () => {
    const jobs = new JobSet();
    jobs.put(job(), NOON);
    jobs.put(job({ version: 2n, state: JobState.FAILED }), NOON);
    const row = jobs.get("j");
    if (row === undefined) throw new Error("It is gone");
    expect(jobs.isCurrent(row, NOON + LINGER_MS - 1)).toBe(true);
    expect(jobs.isCurrent(row, NOON + LINGER_MS)).toBe(false);
  });

  test("long ago is not shown among those that run", () => {
    const jobs = new JobSet();
    jobs.put(job({ state: JobState.SUCCEEDED }), NOON);
    expect([...jobs.all()].map((row) => jobs.isCurrent(row, NOON))).toEqual([false]);
  });

  test("is kept among a thousand; the one that ended first is dropped", () => {
    const jobs = new JobSet();
    jobs.put(job({ jobId: "runs" }), NOON);
    for (let i = 0; i < 1_500; i++) jobs.put(job({ jobId: `e${i}`, state: JobState.SUCCEEDED }), NOON);
    expect(jobs.size).toBe(1_001);
    expect(jobs.get("e499")).toBeUndefined();
    expect(jobs.get("e500")).toBeDefined();
    expect(jobs.get("runs")).toBeDefined();
  });
});

test("A snapshot shows which jobs no longer exist", () => {
  const jobs = new JobSet();
  for (const jobId of ["a", "b", "c"]) jobs.put(job({ jobId }), NOON);
  jobs.put(job({ jobId: "ended", state: JobState.SUCCEEDED }), NOON);
  jobs.beginSnapshot();
  jobs.put(job({ jobId: "b" }), NOON);
  jobs.put(job({ jobId: "d" }), NOON);
  expect(jobs.endSnapshot()).toEqual(["a", "c"]);
  expect(jobs.endSnapshot()).toEqual([]);
});

test("Sums are over the jobs that run; a lost job no longer counts", () => {
  const jobs = new JobSet();
  jobs.put(job({ jobId: "a", ...using(1.5, { metrics: { cpuCores: 1.5, memoryBytes: 100n, gpus: [{}, {}] } }) }), NOON);
  jobs.put(job({ jobId: "b", state: JobState.LOST, ...using(4) }), NOON);
  jobs.put(job({ jobId: "c", state: JobState.SUCCEEDED, ...using(8) }), NOON);
  expect(jobs.totals()).toMatchObject({ live: 2, cpuCores: 1.5, memoryBytes: 100, gpus: 2 });
  expect(jobs.get("b")?.cpuCores).toBeUndefined();
});

describe("A row", () => {
  test("has what a job reports, without control sequences, and how much of its output is stored", () => {
    const jobs = new JobSet();
    const progress = { fraction: 0.5, note: "ep\u001b[2Joch", readUnixNano: BigInt(NOON) * 1_000_000n };
    const stored = [
      { stream: LogStream.STDOUT, bytes: 10n },
      { stream: LogStream.AGENT, bytes: 99n },
    ];
    jobs.put(job({ spec: { name: "a\u0007b" }, ...using(1, { progress, stored }) }), NOON);
    expect(jobs.get("j")).toMatchObject({
      name: "a^Gb",
      progress: { fraction: 0.5, note: "ep^[[2Joch" },
      output: { stdout: 10, stderr: 0 },
      // With the start as the first point, one report is enough for an estimate.
      points: [
        { atMs: NOON - 60_000, fraction: 0 },
        { atMs: NOON, fraction: 0.5 },
      ],
    });
  });

  test("keeps the latest points of progress, up to a bound, and starts again with an attempt", () => {
    const jobs = new JobSet();
    const at = (second: number, attempt = 1): void => {
      const progress = { fraction: second / 100, note: "", readUnixNano: BigInt(NOON + second * 1_000) * 1_000_000n };
      jobs.put(job(using(1, { attempt, progress })), NOON);
    };
    for (let second = 1; second <= 90; second++) at(second);
    at(90);
    expect(jobs.get("j")?.points).toHaveLength(32);
    expect(jobs.get("j")?.points.at(-1)).toEqual({ atMs: NOON + 90_000, fraction: 0.9 });
    at(91, 2);
    expect(jobs.get("j")?.points).toHaveLength(2);
  });

  test("says how the job ended, or what it waits for", () => {
    const jobs = new JobSet();
    const remark = (fields: Parameters<typeof job>[0]): string | undefined => {
      jobs.remove("j");
      jobs.put(job(fields), NOON);
      return jobs.get("j")?.remark;
    };
    expect(remark({ state: JobState.FAILED, result: { reason: 1, exitCode: 3 } })).toBe("exit code 3");
    expect(remark({ state: JobState.PENDING })).toBe("waits for an agent");
    const setup = [{ run: "pip install x" }, { name: "data", run: "get" }];
    expect(remark({ state: JobState.SETTING_UP, step: 1, spec: { setup } })).toBe("setup step 1 of 2: pip install x");
  });
});

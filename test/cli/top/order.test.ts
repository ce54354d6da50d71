import { describe, expect, test } from "vitest";
import type { Sort } from "../../../src/cli/top/order.ts";
import { passesWords, sorted } from "../../../src/cli/top/order.ts";
import { JobState } from "../../../src/gen/belay/v1/job_pb.ts";
import { someRow } from "./some-row.ts";

describe("Jobs are sorted", () => {
  const rows = [
    someRow({ jobId: "j10", createMs: 1, startMs: 10, cpuCores: 1, memoryBytes: 5, state: JobState.RUNNING }),
    someRow({ jobId: "j9", createMs: 2, startMs: 20, cpuCores: 2, state: JobState.LOST }),
    someRow({ jobId: "j1", createMs: 3, memoryBytes: 9, state: JobState.PENDING, startMs: undefined }),
    someRow({ jobId: "j2", createMs: 4, startMs: 5, state: JobState.RUNNING, progress: { fraction: 0.5, note: "" } }),
  ];
  test.each<[Sort, boolean, string]>([
    ["cpu", false, "j9 j10 j2 j1"],
    // What has no value stays last.
    ["cpu", true, "j10 j9 j2 j1"],
    ["memory", false, "j1 j10 j2 j9"],
    ["age", false, "j1 j2 j10 j9"],
    ["state", false, "j9 j2 j10 j1"],
    ["name", false, "j1 j2 j9 j10"],
    ["name", true, "j10 j9 j2 j1"],
    ["progress", false, "j2 j1 j9 j10"],
  ])("by %s, reversed %s", (sort, reverse, ids) => {
    expect(
      sorted(rows, sort, reverse)
        .map(({ jobId }) => jobId)
        .join(" "),
    ).toBe(ids);
  });
});

describe("A filter", () => {
  const row = someRow({ jobId: "train-17", name: "ResNet", host: "gpu-3", labels: { team: "ml", "a=b": "c" } });
  test.each([
    ["", true],
    ["TRAIN", true],
    ["resnet gpu-3", true],
    ["running", true],
    ["team=ml", true],
    ["team=m", true],
    ["team=sim", false],
    ["train team=sim", false],
    ["nothing", false],
    ["toString=x", false],
  ])("%j lets it through: %s", (filter, passes) => {
    expect(passesWords(row, filter)).toBe(passes);
  });
});

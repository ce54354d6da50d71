import { create, toJson } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { afterStepsNotRun, scriptStepName } from "../../src/contract/script-steps.ts";
import { AfterStepResultSchema, JobSpecSchema } from "../../src/gen/belay/v1/job_pb.ts";

describe("the name of a step that is a script", () => {
  it.each([
    ["its own", { name: "upload", run: "aws s3 cp model s3://b" }, "upload"],
    ["the script", { name: "", run: "make clean" }, "make clean"],
    ["the first line with text in it", { name: "", run: "\n  set -e\nmake clean" }, "set -e"],
    ["shortened", { name: "", run: "x".repeat(300) }, `${"x".repeat(66)}…${"x".repeat(33)}`],
  ])("is %s", (_, step, expected) => {
    expect(scriptStepName(step)).toBe(expected);
  });
});

describe("steps after the end that did not run", () => {
  it("are named, each with the reason, in order", () => {
    const spec = create(JobSpecSchema, { after: [{ name: "upload", run: "cp a b" }, { run: "rm -rf scratch\nsync" }] });
    expect(afterStepsNotRun(spec, "The agent died").map((step) => toJson(AfterStepResultSchema, step))).toEqual([
      { name: "upload", notRun: "The agent died" },
      { name: "rm -rf scratch", notRun: "The agent died" },
    ]);
  });

  it("are none without such steps", () => {
    expect(afterStepsNotRun(create(JobSpecSchema), "The agent died")).toEqual([]);
  });
});

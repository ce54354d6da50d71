import { create } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { stepName, stepText } from "../../../../src/cli/render/job/step.ts";
import { JobSchema } from "../../../../src/gen/belay/v1/job_pb.ts";

const job = create(JobSchema, {
  spec: { setup: [{ run: "npm ci" }, { run: "make" }], after: [{ name: "upload", run: "cp a b" }, { run: "rm -r x" }] },
});

it.each([
  ["no step", 0, "", ""],
  ["a setup step", 2, "setup step 2 of 2", "make"],
  ["the main command", 3, "", ""],
  ["a step after the end", 4, "after-step 4, 1 of 2", "upload"],
  ["the last step", 5, "after-step 5, 2 of 2", "rm -r x"],
  ["a step that the spec does not have", 6, "", ""],
])("%s is described", (_, step, text, name) => {
  expect([stepText(job, step), stepName(job, step)]).toEqual([text, name]);
});

import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { expect, it } from "vitest";
import { JobSchema } from "../../../src/gen/belay/v1/job_pb.ts";
import { endMs } from "../../../src/tracker/store/rows.ts";

const CREATED = 1_000_000;
const NOW = 2_000_000;

it.each([
  ["right", 1_500_000, 1_500_000],
  ["a year behind", 0, CREATED],
  ["a year ahead", 9_000_000, NOW],
])("retention goes by a time of end between creation and now: an agent's clock that is %s", (_, end, expected) => {
  const job = create(JobSchema, { createTime: timestampFromMs(CREATED), endTime: timestampFromMs(end) });
  expect(endMs(job, NOW)).toBe(expected);
});

it("a job that has not ended has no time of end", () => {
  expect(endMs(create(JobSchema, { createTime: timestampFromMs(CREATED) }), NOW)).toBeNull();
});

import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { describe, expect, it } from "vitest";
import { afterStepLines, afterStepProblems } from "../../../../src/cli/render/job/after-steps.ts";
import { EndReason, JobResultSchema, Outcome } from "../../../../src/gen/belay/v1/job_pb.ts";

const after = [
  { name: "upload", step: 2, exitCode: 0, duration: durationFromMs(1200) },
  { name: "notify", notRun: "It runs only when the outcome is FAILED; it was SUCCEEDED", skipped: true },
  {
    name: "clean\u001b[2J up",
    step: 4,
    signal: "SIGKILL",
    timedOut: true,
    duration: durationFromMs(300_000),
    message: 'After-step 4 "clean up" was ended by SIGKILL: it ran longer than its timeout of 5m',
  },
  { name: "last", notRun: "The agent was asked to stop, and its stop budget is 0" },
];

describe("Steps after the end", () => {
  it("are listed with how each ended", () => {
    expect(afterStepLines(create(JobResultSchema, { after }))).toEqual([
      "step 2    upload         exit code 0 after 1.2s",
      "          notify         skipped: It runs only when the outcome is FAILED; it was SUCCEEDED",
      "step 4    clean^[[2J up  SIGKILL after 5m, its time was over",
      "          last           not run: The agent was asked to stop, and its stop budget is 0",
    ]);
  });

  it("are reported at the end of a job if they failed or could not run, and not if all is as it should be", () => {
    const result = create(JobResultSchema, { outcome: Outcome.SUCCEEDED, reason: EndReason.EXITED, after });
    expect(afterStepProblems(result)).toEqual([
      'After-step 4 "clean up" was ended by SIGKILL: it ran longer than its timeout of 5m',
      'After-step "last" did not run: The agent was asked to stop, and its stop budget is 0',
    ]);
    expect(afterStepProblems(create(JobResultSchema, { after: after.slice(0, 2) }))).toEqual([]);
  });

  it("of an agent that died are not said to have run or not", () => {
    const lost = { reason: EndReason.AGENT_LOST, after: [{ name: "upload", notRun: "The agent died" }] };
    expect(afterStepProblems(create(JobResultSchema, lost))).toEqual([
      'After-step "upload" has no result: The agent died',
    ]);
  });
});

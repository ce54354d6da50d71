import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { expect, test } from "vitest";
import { evidenceLines } from "../../../../src/cli/render/job/result.ts";
import { Containment, EndEvidenceSchema } from "../../../../src/gen/belay/v1/job_pb.ts";

test("An end by force is a list of what was sent when, with a time-out's warning before the request", () => {
  const evidence = create(EndEvidenceSchema, {
    askTime: timestampFromMs(100_000),
    commandId: "c1",
    signals: [
      { signal: "SIGUSR1", sendTime: timestampFromMs(70_000), processes: 1 },
      { signal: "SIGTERM", sendTime: timestampFromMs(100_000), processes: 2 },
      { signal: "SIGKILL", sendTime: timestampFromMs(102_000), processes: 1 },
      { signal: "SIGKILL", sendTime: timestampFromMs(103_000), processes: 1 },
    ],
    treeEmptyTime: timestampFromMs(103_004),
    containment: Containment.CGROUP,
  });
  expect(evidenceLines(evidence)).toEqual([
    "  -30.0s  SIGUSR1 sent to 1 process",
    "    +0ms  end requested by command c1",
    "    +0ms  SIGTERM sent to 2 processes",
    "   +2.0s  SIGKILL sent to 1 process, 2 times until +3.0s",
    "   +3.0s  no process left (cgroup)",
  ]);
});

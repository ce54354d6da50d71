import { create } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { metricLines } from "../../../../src/cli/render/metrics/lines.ts";
import { ReadMetricsResponseSchema } from "../../../../src/gen/belay/v1/job_service_pb.ts";

const AT = 1_700_000_000_000_000_000n;
const SECOND = 1_000_000_000n;

it("Samples and the job's own metrics are lines in order of time; values of one step share a line", () => {
  const answer = create(ReadMetricsResponseSchema, {
    samples: [
      { sampleUnixNano: AT, cpuSeconds: 1, memoryBytes: 1024n, processes: 1 },
      { sampleUnixNano: AT + 2n * SECOND, cpuCores: 0.5, cpuSeconds: 2, memoryBytes: 2048n, processes: 2 },
    ],
    jobMetrics: [
      {
        readUnixNano: AT + SECOND,
        metrics: [
          { name: "loss", value: 0.5, step: 1 },
          { name: "acc", value: 0.25, step: 1 },
          { name: "loss", value: 0.4, step: 2 },
          { name: "lr", value: 1e-5 },
        ],
        progress: { fraction: 0.421, note: "epoch 1" },
      },
    ],
  });
  expect(metricLines(answer)).toBe(`2023-11-14T22:13:20.000Z  cpu - cores (1.0 s), memory 1.0 KiB, 1 process
2023-11-14T22:13:21.000Z  loss=0.5 acc=0.25 step=1
2023-11-14T22:13:21.000Z  loss=0.4 step=2
2023-11-14T22:13:21.000Z  lr=1e-5
2023-11-14T22:13:21.000Z  progress 42.1 %  epoch 1
2023-11-14T22:13:22.000Z  cpu 0.50 cores (2.0 s), memory 2.0 KiB, 2 processes
`);
});

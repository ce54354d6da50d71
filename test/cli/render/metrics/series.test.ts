import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { Series } from "../../../../src/cli/render/metrics/series.ts";
import { ReadMetricsResponseSchema } from "../../../../src/gen/belay/v1/job_service_pb.ts";

describe("The metrics of an attempt", () => {
  it("stay bounded however long it is followed, and keep peaks, sums and ends", () => {
    const series = new Series(undefined, 100);
    for (let i = 0; i < 5000; i++) {
      const sampleUnixNano = BigInt(i) * 1_000_000n;
      const value = i === 1234 ? -50 : i === 2345 ? 9999 : i % 10;
      const answer = {
        samples: [{ sampleUnixNano, memoryBytes: BigInt(i === 777 ? 1_000_000 : i) }],
        jobMetrics: [
          { readUnixNano: sampleUnixNano, metrics: [{ name: "loss", value }], progress: { fraction: i / 5000 } },
        ],
      };
      series.push(create(ReadMetricsResponseSchema, answer));
    }
    expect(series.samples.length).toBeLessThanOrEqual(101);
    expect(series.taken).toBe(5000n);
    expect(series.samples.some(({ memoryBytes }) => memoryBytes === 1_000_000n)).toBe(true);
    const loss = series.named.get("loss");
    expect(loss).toMatchObject({ min: -50, max: 9999, last: { atMs: 4999, value: 9 } });
    expect(loss?.points.length).toBeLessThanOrEqual(101);
    expect(loss?.points.map(({ value }) => value)).toEqual(expect.arrayContaining([-50, 9999]));
    expect(series.progress.length).toBeLessThanOrEqual(101);
    expect(series.newestMs).toBe(4999);
  });

  it("leave out names that were not selected", () => {
    const series = new Series((name) => name.startsWith("val/"));
    const metrics = [
      { name: "loss", value: 1 },
      { name: "val/loss", value: 2 },
    ];
    series.push(create(ReadMetricsResponseSchema, { jobMetrics: [{ metrics }] }));
    expect([...series.named.keys()]).toEqual(["val/loss"]);
  });
});

import { create } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { JobMetrics } from "../../../../src/gen/belay/v1/job_pb.ts";
import { JobMetricsSchema } from "../../../../src/gen/belay/v1/job_pb.ts";
import { mergeJobMetrics } from "../../../../src/tracker/store/points/merge-job-metrics.ts";

function record(at: number, ...metrics: [string, number, number?][]): JobMetrics {
  return create(JobMetricsSchema, {
    readUnixNano: BigInt(at),
    metrics: metrics.map(([name, value, step]) => ({ name, value, ...(step === undefined ? {} : { step }) })),
  });
}

describe("Merged records of a job's own metrics", () => {
  test("keep the first, least, greatest and last value of each name, with their steps, in order", () => {
    const merged = mergeJobMetrics([
      record(1, ["loss", 5, 1], ["acc", 0.1], ["loss", 9, 2]),
      record(2, ["loss", 7, 3], ["loss", 1, 4]),
      record(3, ["loss", 8, 5], ["loss", 4, 6]),
    ]);
    const kept = record(3, ["loss", 5, 1], ["acc", 0.1], ["loss", 9, 2], ["loss", 1, 4], ["loss", 4, 6]);
    expect(merged).toMatchObject({ ...kept, merged: { records: 3n, firstUnixNano: 1n, values: 7n } });
  });

  test("keep the first NaN, and the last progress", () => {
    const one = record(1, ["loss", 1], ["loss", Number.NaN], ["loss", Number.NaN], ["loss", 2]);
    one.progress = { $typeName: "belay.v1.Progress", fraction: 0.3, note: "epoch 1", readUnixNano: 1n };
    const merged = mergeJobMetrics([one, record(2)]);
    expect(merged.metrics.map(({ value }) => value)).toEqual([1, Number.NaN, 2]);
    expect(merged.progress?.note).toBe("epoch 1");
  });

  test("keep the same values, however often and in whatever groups they are merged, and are bounded", () => {
    const value = fc.tuple(fc.constantFrom("a", "b", "c"), fc.integer({ min: -50, max: 50 }));
    const records = fc.array(fc.array(value, { maxLength: 6 }), { minLength: 1, maxLength: 30 });
    fc.assert(
      fc.property(records, fc.array(fc.nat(7)), (raw, cuts) => {
        let series = raw.map((values, i) => record(i, ...values));
        for (const cut of cuts) {
          const at = cut % series.length;
          series = [...series.slice(0, at), mergeJobMetrics(series.slice(at, at + 3)), ...series.slice(at + 3)];
        }
        const merged = mergeJobMetrics([...series, record(raw.length)]);
        for (const name of ["a", "b", "c"]) {
          const all = raw.flat().flatMap(([of, number]) => (of === name ? [number] : []));
          const kept = merged.metrics.flatMap((metric) => (metric.name === name ? [metric.value] : []));
          expect(kept.length).toBeLessThanOrEqual(4);
          expect([kept[0], kept.at(-1)]).toEqual([all[0], all.at(-1)]);
          expect([Math.min(...kept), Math.max(...kept)]).toEqual([Math.min(...all), Math.max(...all)]);
        }
        expect(merged.merged).toMatchObject({
          records: BigInt(raw.length + 1),
          firstUnixNano: 0n,
          values: BigInt(raw.flat().length),
        });
      }),
    );
  });
});

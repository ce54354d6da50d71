import { create } from "@bufbuild/protobuf";
import { randomBytes } from "node:crypto";
import { describe, expect, test } from "vitest";
import type { Event } from "../../../../src/gen/belay/v1/tracker_service_pb.ts";
import { EventSchema } from "../../../../src/gen/belay/v1/tracker_service_pb.ts";
import { unpackEvent } from "../../../../src/tracker/store/points/body.ts";
import { sampleOf } from "../../../../src/tracker/store/points/merge.ts";
import type { PointRow, SeriesRows } from "../../../../src/tracker/store/points/series.ts";
import { Series } from "../../../../src/tracker/store/points/series.ts";
import { BATCH, FAN, TIER_BYTES, TIER_POINTS } from "../../../../src/tracker/store/points/tiers.ts";

/** The rows of a series in memory. */
class Rows implements SeriesRows {
  readonly tiers: PointRow[][] = [];

  insert(tier: number, row: PointRow): void {
    (this.tiers[tier] ??= []).push(row);
  }
  oldest(tier: number, most: number): Uint8Array[] {
    return (this.tiers[tier] ?? []).slice(0, most).map(({ body }) => body);
  }
  newest(tier: number): Uint8Array | undefined {
    return this.tiers[tier]?.at(-1)?.body;
  }
  removeUpTo(tier: number, sequence: number): void {
    this.tiers[tier] = (this.tiers[tier] ?? []).filter((row) => row.sequence > sequence);
  }
}

const SECOND = 1_000_000_000n;

function usage(sequence: number): Event {
  const value = { sampleUnixNano: BigInt(sequence) * SECOND, cpuSeconds: sequence };
  return create(EventSchema, { sequence: BigInt(sequence), kind: { case: "metricSample", value } });
}

/** A record that no compression makes small. */
function large(sequence: number, bytes: number): Event {
  const metrics = [{ name: randomBytes(bytes).toString("base64"), value: sequence }];
  const value = { readUnixNano: BigInt(sequence) * SECOND, metrics };
  return create(EventSchema, { sequence: BigInt(sequence), kind: { case: "jobMetrics", value } });
}

/** How many events a stored point stands for. */
function weight({ body }: PointRow): number {
  return Number(sampleOf(unpackEvent(body))?.merged?.samples ?? 1n);
}

function seriesOf(count: number): Rows {
  const rows = new Rows();
  const series = new Series(rows, []);
  for (let i = 1; i <= count; i++) series.put(usage(i));
  return rows;
}

describe("A series", () => {
  test("keeps its events unchanged until the first tier is full", () => {
    const rows = seriesOf(TIER_POINTS + BATCH - 1);
    expect(rows.tiers).toHaveLength(1);
    expect(rows.tiers[0]).toHaveLength(TIER_POINTS + BATCH - 1);
  });

  test("then merges the oldest points of the tier, as many neighbours at a time as the fan, into the next one", () => {
    const { tiers } = seriesOf(TIER_POINTS + BATCH);
    expect(tiers.map(({ length }) => length)).toEqual([TIER_POINTS, BATCH / FAN]);
    expect(tiers[1]?.map(weight)).toEqual(Array.from({ length: BATCH / FAN }, () => FAN));
    expect(tiers[1]?.map(({ sequence }) => sequence)).toEqual(
      Array.from({ length: BATCH / FAN }, (_, i) => (i + 1) * FAN),
    );
    expect(tiers[0]?.[0]?.sequence).toBe(BATCH + 1);
  });

  test("holds the laws of tiers: bounded, each older than the one before, fan ** tier events a point, none lost", () => {
    const count = 3 * FAN * (TIER_POINTS + BATCH);
    const { tiers } = seriesOf(count);
    expect(tiers.length).toBeGreaterThanOrEqual(3);
    let newest = Infinity;
    for (const [tier, points] of tiers.entries()) {
      expect(points.length).toBeLessThanOrEqual(TIER_POINTS + BATCH);
      expect(points.every((point) => weight(point) === FAN ** tier)).toBe(true);
      expect(points.at(-1)?.sequence).toBeLessThan(newest);
      newest = points[0]?.sequence ?? 0;
    }
    expect(tiers.flat().reduce((sum, point) => sum + weight(point), 0)).toBe(count);
  });

  test("is bounded in bytes when its events are large", () => {
    const rows = new Rows();
    const series = new Series(rows, []);
    for (let i = 1; i <= 600; i++) series.put(large(i, 2000));
    expect(rows.tiers.length).toBeGreaterThanOrEqual(2);
    for (const points of rows.tiers) {
      const bytes = points.reduce((sum, { body }) => sum + body.length, 0);
      expect(points.length <= FAN + 1 || bytes <= TIER_BYTES + 32 * 1024).toBe(true);
    }
  });

  test("goes on where another process left it, from the tallies of the rows", () => {
    const rows = seriesOf(TIER_POINTS + BATCH - 1);
    const bytes = rows.tiers[0]?.reduce((sum, { body }) => sum + body.length, 0) ?? 0;
    new Series(rows, [{ points: TIER_POINTS + BATCH - 1, bytes }]).put(usage(TIER_POINTS + BATCH));
    expect(rows.tiers.map(({ length }) => length)).toEqual([TIER_POINTS, BATCH / FAN]);
  });
});

import { cpSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { SlabPool } from "../../../src/agent/report/frame.ts";
import type { LaneSpool } from "../../../src/agent/report/lane-spool.ts";
import { LogLane } from "../../../src/agent/report/log-lane.ts";
import { MemorySpool } from "../../../src/agent/report/memory-spool.ts";
import { LogStream } from "../../../src/gen/belay/v1/job_pb.ts";
import { GapReason } from "../../../src/gen/belay/v1/tracker_service_pb.ts";
import { ManualClock } from "../../helpers/manual-clock.ts";
import { diskSpool, ModelTracker, opened, temporaryDirectory } from "./model.ts";

const LIMIT = 600_000;

const printing = fc.record({
  stream: fc.constantFrom(LogStream.STDOUT, LogStream.STDERR),
  step: fc.integer({ min: 1, max: 3 }),
  bytes: fc.oneof(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 20_000, max: 66_000 })),
  fill: fc.nat({ max: 255 }),
  /** Records that the tracker takes after it, and whether it acks. */
  taken: fc.oneof({ weight: 6, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat({ max: 9 }) }),
  acked: fc.boolean(),
});

type Printing = typeof printing extends fc.Arbitrary<infer T> ? T : never;

interface Printed {
  readonly spool: LaneSpool;
  readonly lane: LogLane;
  readonly tracker: ModelTracker;
  readonly bytes: Map<LogStream, Buffer>;
}

async function print(spool: LaneSpool, pool: SlabPool, list: readonly Printing[]): Promise<Printed> {
  const clock = new ManualClock();
  const lane = new LogLane(spool, pool, clock);
  const tracker = new ModelTracker();
  const pieces = new Map<LogStream, Buffer[]>([
    [LogStream.STDOUT, []],
    [LogStream.STDERR, []],
  ]);
  for (const { stream, step, bytes, fill, taken, acked } of list) {
    const data = Buffer.alloc(bytes, fill);
    data[0] = 10;
    pieces.get(stream)?.push(data);
    // A job is never made to wait.
    expect(lane.append(stream, step, data, 7n)).toBe(true);
    for (let i = 0; i < taken; i++) {
      const frame = spool.read("logs", tracker.logs + 1);
      if (frame !== undefined) tracker.take(await frame);
    }
    if (acked) spool.ack("logs", tracker.logs);
  }
  lane.flush();
  return { spool, lane, tracker, bytes: new Map([...pieces].map(([stream, some]) => [stream, Buffer.concat(some)])) };
}

/** What the tracker has, with zeros in the gaps, is as long as what was printed, and equal outside of them. */
function expectAccountedFor({ tracker, bytes }: Printed): void {
  for (const [stream, printed] of bytes) {
    const gaps = tracker.gaps.filter((gap) => gap.stream === stream);
    const pieces: Buffer[] = [];
    let at = 0;
    for (const gap of gaps) {
      pieces.push(printed.subarray(at, gap.offset));
      at = gap.offset + gap.bytes;
    }
    pieces.push(printed.subarray(at));
    expect(Buffer.concat(pieces).equals(tracker.bytesOf(stream))).toBe(true);
  }
}

describe("a full spool that drops", () => {
  test.for(["memory", "disk"] as const)(
    "in %s records exactly what is missing, and its totals agree",
    async (where) => {
      await fc.assert(
        fc.asyncProperty(fc.array(printing, { minLength: 20, maxLength: 120, size: "max" }), async (list) => {
          const pool = new SlabPool();
          const disk =
            where === "disk"
              ? diskSpool(temporaryDirectory(), { limit: LIMIT, memoryLimit: 100_000, onFull: "drop" })
              : undefined;
          const spool = disk?.spool ?? new MemorySpool(pool, LIMIT, "drop");
          const printed = await print(spool, disk?.pool ?? pool, list);
          const held = disk === undefined ? spool.memoryBytes : spool.diskBytes;
          const sentAtMost = 9 * 20 * 66_000;
          expect(held).toBeLessThan(LIMIT + sentAtMost);
          await printed.tracker.takeAll(spool);
          expectAccountedFor(printed);
          expect(printed.lane.totals()).toEqual(printed.tracker.totals());
          expect(printed.tracker.gaps.every(({ reason, bytes }) => reason === GapReason.SPOOL_FULL && bytes > 0)).toBe(
            true,
          );
          spool.ack("logs", printed.tracker.logs);
          expect(spool.memoryBytes).toBe(0);
          expect(printed.lane.totals()).toEqual(printed.tracker.totals());
          await spool.close();
        }),
        { numRuns: 40, endOnFailure: true },
      );
    },
  );

  test("records the same after the agent has died", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(printing, { minLength: 20, maxLength: 120, size: "max" }), async (list) => {
        const directory = temporaryDirectory();
        const { spool, pool, path } = diskSpool(directory, { limit: LIMIT, memoryLimit: 100_000, onFull: "drop" });
        const printed = await print(spool, pool, list);
        const copy = join(directory, "copy");
        cpSync(path, copy, { recursive: true });
        const recovered = await opened(copy);
        expect(recovered.streams).toEqual(printed.lane.totals());
        recovered.spool.ack("logs", printed.tracker.logs);
        await printed.tracker.takeAll(recovered.spool);
        expectAccountedFor(printed);
        expect(recovered.streams).toEqual(printed.tracker.totals());
        await recovered.spool.close();
        await spool.close();
      }),
      { numRuns: 40, endOnFailure: true },
    );
  });

  test("keeps to its bound while nothing is delivered, however much is printed", async () => {
    const pool = new SlabPool();
    const spool = new MemorySpool(pool, 8 << 20, "drop");
    const lane = new LogLane(spool, pool, new ManualClock());
    const data = Buffer.alloc(65_536, "x");
    let most = 0;
    for (let i = 0; i < 4000; i++) {
      lane.append(LogStream.STDOUT, 1, data, 1n);
      most = Math.max(most, spool.memoryBytes);
    }
    expect(most).toBeLessThanOrEqual((8 << 20) + 2 * 65_536);
    const tracker = new ModelTracker();
    await tracker.takeAll(spool);
    expect(tracker.gaps).toHaveLength(1);
    expect(tracker.totals()).toEqual(lane.totals());
  });

  test("never drops what was on its way", async () => {
    const pool = new SlabPool();
    const spool = new MemorySpool(pool, LIMIT, "drop");
    const lane = new LogLane(spool, pool, new ManualClock());
    const data = Buffer.alloc(65_536, "x");
    lane.append(LogStream.STDOUT, 1, data, 1n);
    const first = spool.read("logs", 1);
    const bytes = Buffer.from(first as Buffer);
    for (let i = 0; i < 100; i++) lane.append(LogStream.STDOUT, 1, data, 1n);
    expect(spool.read("logs", 1)).toBe(first);
    expect(bytes.equals(first as Buffer)).toBe(true);
  });
});

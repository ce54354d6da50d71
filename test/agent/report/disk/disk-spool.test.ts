import { cpSync, existsSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { recoverSpool } from "../../../../src/agent/report/disk/recover.ts";
import { EventWriter } from "../../../../src/agent/report/event-writer.ts";
import { LogLane } from "../../../../src/agent/report/log-lane.ts";
import type { Spool } from "../../../../src/agent/report/spool.ts";
import { JobState, LogStream, type StreamTotals } from "../../../../src/gen/belay/v1/job_pb.ts";
import { ManualClock } from "../../../helpers/manual-clock.ts";
import { diskSpool, ModelTracker, opened, SESSION, temporaryDirectory } from "../model.ts";

const STREAMS = [LogStream.STDOUT, LogStream.STDERR] as const;

type Action =
  | { readonly kind: "print"; readonly stream: LogStream; readonly bytes: number; readonly fill: number }
  | { readonly kind: "event" }
  | { readonly kind: "wait"; readonly ms: number }
  | { readonly kind: "deliver"; readonly records: number }
  | { readonly kind: "reconnect" };

const actions = fc.array(
  fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        kind: fc.constant("print" as const),
        stream: fc.constantFrom(...STREAMS),
        bytes: fc.oneof(fc.integer({ min: 1, max: 200 }), fc.integer({ min: 1, max: 66_000 })),
        fill: fc.nat({ max: 255 }),
      }),
    },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant("event" as const) }) },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant("wait" as const), ms: fc.nat({ max: 60 }) }) },
    {
      weight: 3,
      arbitrary: fc.record({ kind: fc.constant("deliver" as const), records: fc.nat({ max: 12 }) }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("reconnect" as const) }) },
  ) as fc.Arbitrary<Action>,
  { minLength: 1, maxLength: 60, size: "max" },
);

/** An agent's report on one spool, and a tracker that takes it: acks may be lost, records come again. */
class Run {
  readonly tracker = new ModelTracker();
  readonly printed = new Map<LogStream, Buffer[]>(STREAMS.map((stream) => [stream, []]));
  readonly logs: LogLane;
  private readonly events: EventWriter;
  private readonly spool: Spool;
  private readonly clock = new ManualClock();
  eventCount = 0;

  constructor(spool: Spool, pool: ConstructorParameters<typeof LogLane>[1]) {
    this.spool = spool;
    this.logs = new LogLane(spool, pool, this.clock);
    this.events = new EventWriter(spool, this.clock);
  }

  async perform(action: Action): Promise<void> {
    switch (action.kind) {
      case "print": {
        const data = Buffer.alloc(action.bytes, action.fill);
        data[0] = 10;
        this.printed.get(action.stream)?.push(data);
        this.logs.append(action.stream, 1, data, 1n);
        return;
      }
      case "event":
        this.eventCount++;
        this.events.push({
          case: "stateChange",
          value: { $typeName: "belay.v1.StateChange", state: JobState.RUNNING, message: "x".repeat(500) },
        });
        return;
      case "wait":
        this.clock.advance(action.ms);
        return;
      case "deliver":
        for (let i = 0; i < action.records; i++) {
          const log = this.spool.read("logs", this.tracker.logs + 1);
          if (log !== undefined) this.tracker.take(await log);
          const event = this.spool.read("events", this.tracker.eventsTaken + 1);
          if (event !== undefined) this.tracker.take(await event);
        }
        // The ack comes for some of them only: the rest is acked later.
        this.spool.ack("logs", Math.max(this.spool.committed("logs"), this.tracker.logs - 2));
        this.spool.ack("events", this.tracker.eventsTaken);
        return;
      case "reconnect":
        // What was not acked is read again, and is the same.
        for (let sequence = this.spool.committed("logs") + 1; sequence <= this.tracker.logs; sequence++) {
          expect(this.spool.read("logs", sequence)).not.toBeUndefined();
        }
    }
  }

  bytesOf(stream: LogStream): Buffer {
    return Buffer.concat(this.printed.get(stream) ?? []);
  }
}

const bounds = fc.record({
  memoryLimit: fc.constantFrom(0, 100_000, 300_000, 8_000_000),
  limit: fc.constantFrom(600_000, 2_000_000, 1e9),
});

describe("a spool on disk", () => {
  test("hands out all that was pushed until it is acked, wherever it is", async () => {
    await fc.assert(
      fc.asyncProperty(actions, bounds, async (list, options) => {
        const directory = temporaryDirectory();
        const { spool, pool, path, troubles } = diskSpool(directory, options);
        const run = new Run(spool, pool);
        for (const action of list) await run.perform(action);
        run.logs.flush();
        await run.tracker.takeAll(spool);
        for (const stream of STREAMS) expect(run.tracker.bytesOf(stream).equals(run.bytesOf(stream))).toBe(true);
        expect(run.tracker.events).toHaveLength(run.eventCount);
        expect(run.logs.totals()).toEqual(run.tracker.totals());
        spool.ack("logs", run.tracker.logs);
        spool.ack("events", run.tracker.eventsTaken);
        expect(spool.memoryBytes).toBe(0);
        expect(spool.full).toBe(false);
        expect(troubles).toEqual([]);
        await spool.close();
        expect(existsSync(path)).toBe(false);
      }),
      { numRuns: 60 },
    );
  });

  test("is whole at whatever moment the agent dies: batches that are not closed included", async () => {
    await fc.assert(
      fc.asyncProperty(actions, bounds, fc.nat(), async (list, options, when) => {
        const directory = temporaryDirectory();
        const { spool, pool, path } = diskSpool(directory, options);
        const run = new Run(spool, pool);
        const moment = when % list.length;
        for (const action of list.slice(0, moment + 1)) await run.perform(action);
        const copy = join(directory, "copy");
        cpSync(path, copy, { recursive: true });
        const recovered = await opened(copy);
        expect(recovered.torn).toBe(0);
        // The tracker goes on from what it has, as it says in its Welcome.
        recovered.spool.ack("logs", run.tracker.logs);
        recovered.spool.ack("events", run.tracker.eventsTaken);
        await run.tracker.takeAll(recovered.spool);
        for (const stream of STREAMS) expect(run.tracker.bytesOf(stream).equals(run.bytesOf(stream))).toBe(true);
        expect(run.tracker.events).toHaveLength(run.eventCount);
        expect(recovered.streams).toEqual(run.tracker.totals());
        await recovered.spool.close();
        await spool.close();
      }),
      { numRuns: 60 },
    );
  });

  test.each([
    ["nothing was delivered before", false],
    ["some was delivered before", true],
  ])(
    "loses nothing before the byte at which a file is cut off, and says what is missing after it: %s",
    async (_, delivers) => {
      let compared = 0;
      await fc.assert(
        fc.asyncProperty(
          actions,
          bounds,
          fc.nat(),
          fc.double({ min: 0, max: 1, noNaN: true }),
          async (list, options, which, where) => {
            const directory = temporaryDirectory();
            const { spool, pool, path } = diskSpool(directory, options);
            const run = new Run(spool, pool);
            for (const action of list) if (delivers || action.kind !== "deliver") await run.perform(action);
            const copy = join(directory, "copy");
            cpSync(path, copy, { recursive: true });
            const segments = readdirSync(copy)
              .filter((name) => name.endsWith(".seg"))
              .toSorted();
            if (segments.length > 0) {
              const cutFile = join(copy, segments[which % segments.length] as string);
              truncateSync(cutFile, Math.floor(statSync(cutFile).size * where));
            }
            const recovered = await opened(copy);
            if (recovered.spool.nextSequence("logs") > run.tracker.logs) {
              run.tracker.acceptsHoles = true;
              compared++;
              recovered.spool.ack("logs", run.tracker.logs);
              await takeLogs(run.tracker, recovered.spool);
              for (const stream of STREAMS) {
                expectSubset(run.tracker, stream, run.bytesOf(stream));
                const bytes = (totals: StreamTotals[]) => totals.find((total) => total.stream === stream)?.bytes;
                // Of what was delivered from the part that is damaged now, only the tracker knows.
                if (!delivers) expect(bytes(recovered.streams)).toBe(bytes(run.tracker.totals()));
              }
            }
            await recovered.spool.close();
            await spool.close();
          },
        ),
        { numRuns: 40, endOnFailure: true },
      );
      // Where no record survives, there is nothing to compare.
      expect(compared).toBeGreaterThan(0);
    },
  );
});

async function takeLogs(tracker: ModelTracker, spool: Spool): Promise<void> {
  for (;;) {
    const log = spool.read("logs", tracker.logs + 1);
    if (log === undefined) break;
    tracker.take(await log);
  }
}

/** What the tracker has are the bytes that were printed, with holes where gaps say so, up to some point. */
function expectSubset(tracker: ModelTracker, stream: LogStream, printed: Buffer): void {
  const gaps = tracker.gaps.filter((gap) => gap.stream === stream).toSorted((a, b) => a.offset - b.offset);
  const pieces: Buffer[] = [];
  let at = 0;
  for (const gap of gaps) {
    pieces.push(printed.subarray(at, gap.offset));
    at = gap.offset + gap.bytes;
  }
  pieces.push(printed.subarray(at));
  const got = tracker.bytesOf(stream);
  expect(Buffer.concat(pieces).subarray(0, got.length).equals(got)).toBe(true);
}

describe("what an agent left behind", () => {
  test("is not opened while the agent still runs", async () => {
    const { spool, path } = diskSpool(temporaryDirectory());
    expect(await recoverSpool(path)).toBeUndefined();
    await spool.close();
  });

  test("is not touched when a newer agent wrote it", async () => {
    const directory = temporaryDirectory();
    const { spool, path } = diskSpool(directory);
    const copy = join(directory, "copy");
    cpSync(path, copy, { recursive: true });
    const meta = JSON.parse(readFileSync(join(copy, "meta.json"), "utf8")) as Record<string, unknown>;
    writeFileSync(join(copy, "meta.json"), JSON.stringify({ ...meta, format: 2 }));
    await expect(recoverSpool(copy)).rejects.toMatchObject({
      code: "SPOOL",
      message: expect.stringContaining("its format is 2"),
    });
    await spool.close();
  });

  test("names its job and session", async () => {
    const directory = temporaryDirectory();
    const { spool, path } = diskSpool(directory);
    spool.admitted(3);
    const copy = join(directory, "copy");
    cpSync(path, copy, { recursive: true });
    const { identity, hasResult, spool: left } = await opened(copy);
    expect(identity).toMatchObject({ sessionId: SESSION, jobId: "j1", attempt: 3, agent: { version: "test" } });
    expect(hasResult).toBe(false);
    await left.close();
    await spool.close();
  });
});

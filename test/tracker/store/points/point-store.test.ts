import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { DatabaseSync } from "node:sqlite";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { createLogger } from "../../../../src/base/logger.ts";
import type { JobMetrics, MetricSample } from "../../../../src/gen/belay/v1/job_pb.ts";
import { JobSchema, JobState } from "../../../../src/gen/belay/v1/job_pb.ts";
import type { Event } from "../../../../src/gen/belay/v1/tracker_service_pb.ts";
import { EventSchema } from "../../../../src/gen/belay/v1/tracker_service_pb.ts";
import { checkDirectory } from "../../../../src/tracker/store/check/check.ts";
import { unpackEvent } from "../../../../src/tracker/store/points/body.ts";
import { sampleOf } from "../../../../src/tracker/store/points/merge.ts";
import { openStore } from "../../../../src/tracker/store/open-store.ts";
import type { Store } from "../../../../src/tracker/store/types.ts";
import { someSpec, testDirectory } from "../../../helpers/tracker.ts";

const SECOND = 1_000_000_000n;
/** Points of a tier at most: those it keeps, and those it gives up in one go. */
const MOST_IN_TIER = 1024 + 64;
const QUERY = { key: 1, attempt: 1, fromNano: 0n, toNano: 2n ** 63n - 1n, afterSequence: 0 };

interface Opened {
  readonly store: Store;
  readonly logged: string[];
}

/** A store with one job, key 1. */
async function opened(directory: string): Promise<Opened> {
  const logged: string[] = [];
  const logger = createLogger({ level: "warn", format: "text", write: (line) => logged.push(line) });
  const store = openStore(directory, logger, { durability: "process", logLimit: 0 });
  const job = create(JobSchema, { jobId: "j", spec: someSpec, state: JobState.RUNNING });
  await store.commit({ key: 1, job: { job, resumeState: JobState.RUNNING, open: true, spec: true } });
  return { store, logged };
}

function usage(sequence: number, memory = sequence): Event {
  const value = {
    sampleUnixNano: BigInt(sequence) * SECOND,
    cpuSeconds: sequence,
    cpuCores: 1,
    memoryBytes: BigInt(memory),
  };
  return create(EventSchema, { sequence: BigInt(sequence), kind: { case: "metricSample", value } });
}

function record(sequence: number, ...metrics: { name: string; value: number }[]): Event {
  const value = { readUnixNano: BigInt(sequence) * SECOND, metrics };
  return create(EventSchema, { sequence: BigInt(sequence), kind: { case: "jobMetrics", value } });
}

async function put(store: Store, events: readonly Event[]): Promise<void> {
  await Promise.all(events.map((event) => store.commit({ key: 1, event: { attempt: 1, event } })));
}

async function samplesOf(store: Store, afterSequence = 0): Promise<MetricSample[]> {
  const { usage: bodies } = await store.metrics({ ...QUERY, afterSequence });
  return bodies.map((body) => sampleOf(unpackEvent(body))).filter((sample) => sample !== undefined);
}

async function recordsOf(store: Store): Promise<JobMetrics[]> {
  const { own: bodies } = await store.metrics(QUERY);
  return bodies.map(unpackEvent).flatMap(({ kind }) => (kind.case === "jobMetrics" ? [kind.value] : []));
}

function numbers(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, i) => from + i);
}

describe("An attempt's samples", () => {
  test("are kept in tiers: the newest unchanged, older ones merged more and more, none missing, none twice", async () => {
    const { store } = await opened(await testDirectory());
    const count = 12_000;
    await put(
      store,
      numbers(1, count + 1).map((i) => usage(i, i === 3333 ? 1e9 : i)),
    );
    const samples = await samplesOf(store);
    expect(samples.length).toBeLessThan(3 * MOST_IN_TIER);
    expect(samples.reduce((sum, { merged }) => sum + (merged?.samples ?? 1n), 0n)).toBe(BigInt(count));
    expect(Math.max(...samples.map(({ memoryBytes }) => Number(memoryBytes)))).toBe(1e9);
    expect(samples.at(-1)).toEqual(sampleOf(usage(count)));
    expect(samples.slice(-1024)).toEqual(numbers(count - 1023, count + 1).map((i) => sampleOf(usage(i))));
    // Each begins right after the one before, and stands for a stretch that is short beside its age.
    let end = 0n;
    for (const { sampleUnixNano, merged, cpuCores } of samples) {
      expect((merged?.firstUnixNano ?? sampleUnixNano) - end).toBe(SECOND);
      const age = BigInt(count) * SECOND - sampleUnixNano;
      expect((sampleUnixNano - end) * 256n).toBeLessThanOrEqual(age > 256n * SECOND ? age : 256n * SECOND);
      expect(cpuCores).toBeCloseTo(1, 9);
      end = sampleUnixNano;
    }
    await store.close();
  });

  test("keep their peak, last counter, order and bound, whatever arrives, restarts or fails", {
    timeout: 60_000,
  }, async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.integer({ min: 1, max: 1500 }), fc.constantFrom("go on", "reopen", "fail")), {
          minLength: 1,
          maxLength: 6,
        }),
        fc.nat(1e6),
        async (steps, peak) => {
          const directory = await testDirectory();
          let { store } = await opened(directory);
          let sequence = 0;
          let most = 0;
          for (const [count, then] of steps) {
            const events = numbers(sequence + 1, sequence + count + 1).map((i) =>
              usage(i, (i * 7919 + peak) % 1_000_003),
            );
            if (then === "fail") {
              // A change that cannot be stored takes all of its turn with it.
              const bad = store.commit({ key: 99, event: { attempt: 1, event: usage(1) } });
              const all = await Promise.allSettled([
                ...events.map((event) => store.commit({ key: 1, event: { attempt: 1, event } })),
                bad,
              ]);
              expect(all.every(({ status }) => status === "rejected")).toBe(true);
            }
            await put(store, events);
            most = Math.max(most, ...events.map((event) => Number(sampleOf(event)?.memoryBytes)));
            sequence += count;
            if (then === "reopen") {
              await store.close();
              ({ store } = await opened(directory));
            }
          }
          const samples = await samplesOf(store);
          expect(samples.length).toBeLessThanOrEqual(3 * MOST_IN_TIER);
          expect(Math.max(...samples.map(({ memoryBytes }) => Number(memoryBytes)))).toBe(most);
          expect(samples.at(-1)?.cpuSeconds).toBe(sequence);
          expect(samples.reduce((sum, { merged }) => sum + (merged?.samples ?? 1n), 0n)).toBe(BigInt(sequence));
          const times = samples.map(({ sampleUnixNano }) => sampleUnixNano);
          expect(times).toEqual(times.toSorted((a, b) => Number(a - b)));
          await store.close();
          expect((await checkDirectory(directory)).findings).toEqual([]);
        },
      ),
      { numRuns: 8 },
    );
  });

  test("can be read from a sequence on, whether or not later ones have been merged", async () => {
    const { store } = await opened(await testDirectory());
    await put(
      store,
      numbers(1, 101).map((i) => usage(i)),
    );
    expect((await store.metrics(QUERY)).lastSequence).toBe(100);
    expect((await samplesOf(store, 98)).map(({ cpuSeconds }) => cpuSeconds)).toEqual([99, 100]);
    await put(
      store,
      numbers(101, 3001).map((i) => usage(i)),
    );
    const late = await samplesOf(store, 100);
    expect(late[0]?.merged?.firstUnixNano).toBe(101n * SECOND);
    expect(late.reduce((sum, { merged }) => sum + (merged?.samples ?? 1n), 0n)).toBe(2900n);
    expect(await samplesOf(store, 3000)).toEqual([]);
    const range = await store.metrics({ ...QUERY, fromNano: 2990n * SECOND, toNano: 2995n * SECOND });
    expect([range.usage.length, range.lastSequence]).toEqual([5, 3000]);
    await store.close();
  });
});

describe("A job's own metrics", () => {
  test("are bounded in bytes when records are large, and keep first, least, greatest and last values", async () => {
    const { store } = await opened(await testDirectory());
    const names = numbers(0, 50).map((i) => `metric_${i}`);
    const records = numbers(1, 2001).map((i) => record(i, ...names.map((name) => ({ name, value: Math.sin(i) * i }))));
    await put(store, records);
    const { own: bodies } = await store.metrics(QUERY);
    const bytes = bodies.reduce((sum, { length }) => sum + length, 0);
    expect(bytes).toBeLessThan(4 * 1024 * 1024);
    const values = (await recordsOf(store)).flatMap(({ metrics }) => metrics.filter(({ name }) => name === "metric_7"));
    const all = numbers(1, 2001).map((i) => Math.sin(i) * i);
    expect([values[0]?.value, values.at(-1)?.value]).toEqual([all[0], all.at(-1)]);
    const kept = values.map(({ value }) => value);
    expect([Math.min(...kept), Math.max(...kept)]).toEqual([Math.min(...all), Math.max(...all)]);
    await store.close();
  });

  test("of 100,000 names are kept for the first 256; the rest are counted, and reported once, also across a restart", async () => {
    const directory = await testDirectory();
    const first = await opened(directory);
    const flood = (from: number): Event[] =>
      numbers(0, 500).map((i) =>
        record(from + i, ...numbers(0, 100).map((j) => ({ name: `n${(from + i - 1) * 100 + j}`, value: 1 }))),
      );
    await put(first.store, flood(1));
    await first.store.close();
    const { store, logged: later } = await opened(directory);
    await put(store, flood(501));
    await put(store, [record(1001, { name: "n5", value: 2 }, { name: "another", value: 3 })]);
    const points = await store.metrics(QUERY);
    expect(points.unkeptValues).toBe(100_000 - 256 + 1);
    const names = new Set((await recordsOf(store)).flatMap(({ metrics }) => metrics.map(({ name }) => name)));
    expect(names.size).toBe(256);
    expect((await recordsOf(store)).at(-1)?.metrics).toMatchObject([{ name: "n5", value: 2 }]);
    expect(first.logged.filter((line) => line.includes("too many names"))).toHaveLength(1);
    expect(first.logged[0]).toMatch(/job=j/);
    expect(later).toEqual([]);
    await store.close();
  });
});

test("A check of the store finds points that are newer than those of a finer tier", async () => {
  const directory = await testDirectory();
  const { store } = await opened(directory);
  await put(
    store,
    numbers(1, 3).map((i) => usage(i)),
  );
  await store.close();
  const database = new DatabaseSync(join(directory, "belay.db"));
  database.exec("UPDATE points SET tier = 1 WHERE sequence = 2");
  database.close();
  expect((await checkDirectory(directory)).findings).toEqual([
    { severity: "problem", where: "j, attempt 1", what: "metrics of tier 1 are too new" },
  ]);
});

test("The stored metrics of a job count for retention once the job has ended, and are deleted with the job", async () => {
  const directory = await testDirectory();
  const { store } = await opened(directory);
  await put(store, [...numbers(1, 101).map((i) => usage(i)), record(101, { name: "loss", value: 1 })]);
  expect(await store.endedBytes()).toBe(0);
  const job = create(JobSchema, { jobId: "j", state: JobState.SUCCEEDED, endTime: timestampFromMs(1) });
  await store.commit({ key: 1, job: { job, resumeState: JobState.RUNNING, open: false, spec: false } });
  const points = await store.metrics(QUERY);
  const bytes = [...points.usage, ...points.own].reduce((sum, { length }) => sum + length, 0);
  expect(await store.endedBytes()).toBe(bytes);
  expect(await store.endedJobs(1)).toEqual([{ key: 1, jobId: "j", endTime: 1, bytes }]);
  await store.remove(1, "j", 5);
  expect(await store.metrics(QUERY)).toEqual({ usage: [], own: [], lastSequence: 0, unkeptValues: 0 });
  await store.close();
});

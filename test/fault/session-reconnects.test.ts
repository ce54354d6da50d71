import { readdirSync } from "node:fs";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { expect, onTestFinished, test } from "vitest";
import { GoodbyeReason, GoodbyeSchema } from "../../src/gen/belay/v1/tracker_service_pb.ts";
import { ScriptedAgent } from "../../src/testing/index.ts";
import { ScriptedTracker } from "../helpers/scripted-tracker.ts";
import { someSpec, testTracker } from "../helpers/tracker.ts";
import { someSession } from "./a-session.ts";
import { record } from "./record.ts";

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

/** First reconnects, which fill caches and compile code: after them, memory no longer grows. */
const WARM_UP = 750;
/** Number of memory measurements; there are reconnects before each. */
const MEASUREMENTS = 5;
const RECONNECTS_BETWEEN = 250;
/**
 * Growth of the heap for each reconnect that is not a leak, in bytes: a stream that is not freed has kilobytes, and
 * V8's own variation was 300 at most.
 */
const NOISE = 512;

/** Resources that reconnects have not freed. */
interface Leftovers {
  /** How many more there are after all measurements than before them. */
  readonly descriptors: number;
  readonly timers: number;
  /**
   * Bytes for each reconnect: the median of the measurements. V8 sometimes discards some megabytes of compiled code at
   * once. Between only two measurements, that would hide a leak, or look like one when the code is compiled again.
   */
  readonly heap: number;
  readonly remark: string;
}

async function leftoversOf(reconnect: (times: number) => Promise<void>): Promise<Leftovers> {
  await reconnect(WARM_UP);
  const footprints = [footprint()];
  for (let i = 0; i < MEASUREMENTS; i++) {
    await reconnect(RECONNECTS_BETWEEN);
    footprints.push(footprint());
  }
  const [first, last] = [footprints[0] as Footprint, footprints[MEASUREMENTS] as Footprint];
  const grown = footprints
    .slice(1)
    .map(({ heap }, i) => (heap - (footprints[i] as Footprint).heap) / RECONNECTS_BETWEEN);
  const heap = grown.toSorted((a, b) => a - b)[MEASUREMENTS >> 1] as number;
  return {
    descriptors: last.descriptors - first.descriptors,
    timers: last.timers - first.timers,
    heap,
    remark: `descriptors ${first.descriptors} → ${last.descriptors}, heap ${Math.round(heap)} bytes for each (median)`,
  };
}

interface Footprint {
  readonly descriptors: number;
  readonly timers: number;
  readonly heap: number;
}

/** Counts that would grow if a part of a stream were not freed. */
function footprint(): Footprint {
  collect();
  collect();
  return {
    descriptors: readdirSync("/proc/self/fd").length,
    timers: process.getActiveResourcesInfo().filter((kind) => kind === "Timeout").length,
    heap: process.memoryUsage().heapUsed,
  };
}

test("A thousand reconnects leave no descriptor, no timer, no listener and no memory behind", {
  timeout: 120_000,
}, async () => {
  const warnings: Error[] = [];
  const warned = (warning: Error): void => void warnings.push(warning);
  process.on("warning", warned);
  onTestFinished(() => void process.off("warning", warned));
  const tracker = await ScriptedTracker.start();
  onTestFinished(() => tracker.close());
  const { session, events } = someSession(tracker.url);
  void session.run();
  const begin = performance.now();
  // The agent is asked to come back at once: this test is not about back-off.
  const again = create(GoodbyeSchema, { reason: GoodbyeReason.DRAINING, retryDelay: durationFromMs(0) });
  async function reconnect(times: number): Promise<void> {
    for (let i = 0; i < times; i++) {
      const stream = await tracker.stream();
      stream.welcome();
      expect(await events.next()).toMatch(/^connected/);
      stream.send({ case: "goodbye", value: again });
      stream.end();
      expect(await events.next()).toMatch(/^lost/);
    }
  }
  const left = await leftoversOf(reconnect);
  const recovered = (performance.now() - begin) / (WARM_UP + MEASUREMENTS * RECONNECTS_BETWEEN);
  record({ fault: "1,000 reconnects (time of one)", recovered, remark: `a session without a job; ${left.remark}` });
  expect(left.descriptors).toBeLessThan(10);
  expect(left.timers).toBeLessThan(10);
  expect(left.heap).toBeLessThan(NOISE);
  expect(warnings.map(({ message }) => message)).toEqual([]);
});

test("A tracker keeps nothing of a thousand ended streams of one session", {
  timeout: 120_000,
}, async () => {
  const { address, jobs } = await testTracker();
  const sessionId = crypto.randomUUID();
  async function reconnect(times: number): Promise<void> {
    for (let i = 0; i < times; i++) {
      const agent = ScriptedAgent.connect({ url: address, jobId: "j1", sessionId });
      await agent.hello({ spec: someSpec });
      agent.vanish();
      await agent.ended;
    }
  }
  const left = await leftoversOf(reconnect);
  const last = ScriptedAgent.connect({ url: address, jobId: "j1", sessionId });
  await last.hello({ spec: someSpec });
  expect(left.descriptors).toBeLessThan(20);
  expect(left.timers).toBeLessThan(10);
  expect(left.heap).toBeLessThan(NOISE);
  expect((await jobs.getJob({ jobId: "j1" })).job?.attempts).toHaveLength(1);
});

import { readdirSync } from "node:fs";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { expect, onTestFinished, test } from "vitest";
import { GoodbyeReason, GoodbyeSchema } from "../../src/gen/belay/v1/tracker_service_pb.ts";
import { ScriptedAgent } from "../helpers/scripted-agent.ts";
import { ScriptedTracker } from "../helpers/scripted-tracker.ts";
import { someSpec, testTracker } from "../helpers/tracker.ts";
import { someSession } from "./a-session.ts";
import { record } from "./record.ts";

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

/** What would grow if anything of a stream were left behind. */
function footprint(): { descriptors: number; heap: number; timers: number } {
  collect();
  collect();
  const resources = process.getActiveResourcesInfo();
  return {
    descriptors: readdirSync("/proc/self/fd").length,
    heap: process.memoryUsage().heapUsed,
    timers: resources.filter((kind) => kind === "Timeout").length,
  };
}

test("A thousand reconnects leave no descriptor, no timer, no listener and no memory behind", async () => {
  const warnings: Error[] = [];
  const warned = (warning: Error): void => void warnings.push(warning);
  process.on("warning", warned);
  onTestFinished(() => void process.off("warning", warned));
  const tracker = await ScriptedTracker.start();
  onTestFinished(() => tracker.close());
  const { session, said } = someSession(tracker.url);
  void session.run();
  const begin = performance.now();
  // "Come back at once": back-off is not what is tested here.
  const again = create(GoodbyeSchema, { reason: GoodbyeReason.DRAINING, retryDelay: durationFromMs(0) });
  async function reconnect(times: number): Promise<void> {
    for (let i = 0; i < times; i++) {
      const stream = await tracker.stream();
      stream.welcome();
      expect(await said.next()).toMatch(/^connected/);
      stream.send({ case: "goodbye", value: again });
      stream.end();
      expect(await said.next()).toMatch(/^lost/);
    }
  }
  // The first ones fill caches and compile code: some 2 MB in all, however many follow.
  await reconnect(1000);
  const before = footprint();
  await reconnect(1000);
  const after = footprint();
  const whole = (performance.now() - begin) / 2000;
  const grown = after.heap - before.heap;
  const remark = `descriptors ${before.descriptors} → ${after.descriptors}, heap ${mb(before.heap)} → ${mb(after.heap)}`;
  record({ fault: "1,000 reconnects (time is that of one)", whole, remark });
  expect(after.descriptors - before.descriptors).toBeLessThan(10);
  expect(after.timers - before.timers).toBeLessThan(10);
  // One kilobyte for each reconnect would be a leak.
  expect(grown).toBeLessThan(1_000_000);
  expect(warnings.map(({ message }) => message)).toEqual([]);
});

test("A tracker to which a thousand streams of one session came keeps nothing of them", async () => {
  const { address, jobs } = await testTracker();
  const sessionId = crypto.randomUUID();
  async function reconnect(times: number): Promise<void> {
    for (let i = 0; i < times; i++) {
      const agent = new ScriptedAgent(address, "j1", { sessionId });
      await agent.hello({ spec: someSpec });
      agent.vanish();
      await agent.ended;
    }
  }
  await reconnect(200);
  const before = footprint();
  await reconnect(1000);
  const last = new ScriptedAgent(address, "j1", { sessionId });
  await last.hello({ spec: someSpec });
  const after = footprint();
  expect(after.descriptors - before.descriptors).toBeLessThan(20);
  expect(after.heap - before.heap).toBeLessThan(4_000_000);
  expect((await jobs.getJob({ jobId: "j1" })).job?.attempts).toHaveLength(1);
});

function mb(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

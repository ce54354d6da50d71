import { describe, expect, it } from "vitest";
import { ScriptedAgent } from "../../../src/testing/index.ts";
import { OtlpCollector } from "../../helpers/otlp-collector.ts";
import type { Behavior } from "../../helpers/otlp-collector.ts";
import { testDirectory, testTracker } from "../../helpers/tracker.ts";
import type { TestTracker } from "../../helpers/tracker.ts";

/** What a job's way through a tracker takes on a busy machine. */
const SOON_MS = 5_000;

/** Runs a job from Hello to Receipt. @returns milliseconds */
async function runJob({ address }: TestTracker, name: string): Promise<number> {
  const start = performance.now();
  const agent = ScriptedAgent.connect({ url: address, jobId: name });
  await agent.hello({ spec: { name, command: ["true"] } });
  agent.state("RUNNING");
  agent.result();
  await agent.next("receipt");
  agent.halfClose();
  await agent.ended;
  return performance.now() - start;
}

async function metric({ address }: TestTracker, name: string): Promise<number> {
  const text = await (await fetch(`${address}/metrics`)).text();
  return Number(
    text
      .split("\n")
      .find((line) => line.startsWith(`${name} `))
      ?.split(" ")[1],
  );
}

const behaviors: [string, Behavior | "refuse"][] = [
  ["refuses connections", "refuse"],
  ["answers with 503", 503],
  ["answers with 401", 401],
  ["never answers", "hang"],
  ["answers a byte at a time, for ever", "trickle"],
];

describe("A collector that", () => {
  it.each(behaviors)(
    "%s delays no job, and has every span once it works again",
    { timeout: 90_000 },
    async (_, behavior) => {
      const collector = await OtlpCollector.start();
      if (behavior === "refuse") await collector.close();
      else collector.behavior = behavior;
      const tracker = await testTracker({
        otlp: { endpoint: collector.endpoint, metricsInterval: 100, timeout: 1500 },
      });
      expect(await runJob(tracker, "a")).toBeLessThan(SOON_MS);
      if (behavior !== "refuse") await collector.until(() => collector.requests > 0);
      for (const name of ["b", "c", "d"]) expect(await runJob(tracker, name)).toBeLessThan(SOON_MS);
      expect(await metric(tracker, "belay_otlp_spans_waiting")).toBe(8);
      expect(await metric(tracker, 'belay_otlp_spans_total{result="exported"}')).toBe(0);
      if (behavior === "refuse") await collector.open();
      else collector.behavior = "take";
      for (const name of ["a", "b", "c", "d"]) await collector.span(`job ${name}`);
      expect(collector.spans).toHaveLength(8);
      expect(new Set(collector.spans.map(({ spanId }) => spanId)).size).toBe(8);
    },
  );

  it("refuses spans for their content does not get them again, and they are counted", async () => {
    const collector = await OtlpCollector.start();
    collector.behavior = 400;
    const tracker = await testTracker({ otlp: { endpoint: collector.endpoint, metricsInterval: 0 } });
    await runJob(tracker, "bad");
    await collector.until(() => collector.requests > 0);
    collector.behavior = "take";
    await runJob(tracker, "good");
    await collector.span("job good");
    expect(collector.spans.map(({ attributes }) => attributes["belay.job.id"])).not.toContain("bad");
    expect(await metric(tracker, 'belay_otlp_spans_total{result="refused"}')).toBe(2);
  });

  it("hangs does not delay the tracker's stop, and gets the spans after the tracker's next start", async () => {
    const collector = await OtlpCollector.start();
    collector.behavior = "hang";
    const options = { otlp: { endpoint: collector.endpoint, metricsInterval: 100 }, drainTimeout: 200 };
    const first = await testTracker(options);
    await runJob(first, "a");
    await collector.until(() => collector.requests > 0);
    const start = performance.now();
    await first.tracker.close();
    expect(performance.now() - start).toBeLessThan(SOON_MS);
    expect(collector.spans).toEqual([]);
    collector.behavior = "take";
    await testTracker({ ...options, dataDirectory: first.dataDirectory });
    await collector.span("job a");
    expect(collector.spans).toHaveLength(2);
  });

  it("works gets what is waiting before the tracker has stopped", async () => {
    const collector = await OtlpCollector.start();
    const tracker = await testTracker({ otlp: { endpoint: collector.endpoint } });
    await runJob(tracker, "a");
    await tracker.tracker.close();
    expect(collector.spans.map(({ name }) => name)).toEqual(["attempt 1", "job a"]);
  });
});

describe("Headers", () => {
  it("are sent with each request", async () => {
    const collector = await OtlpCollector.start();
    const otlp = { endpoint: `${collector.endpoint}/`, headers: { "x-key": "k1" } };
    const tracker = await testTracker({ otlp });
    await runJob(tracker, "a");
    await collector.span("job a");
    expect(collector.headers[0]).toMatchObject({ "x-key": "k1", "content-type": "application/x-protobuf" });
  });
});

describe("An endpoint", () => {
  it.each(["localhost:4318", "grpc://x", "/path"])("cannot be %j", async (endpoint) => {
    const dataDirectory = await testDirectory();
    const refused = testTracker({ dataDirectory, otlp: { endpoint } });
    await expect(refused).rejects.toThrow(/^Cannot use .*(endpoint.*: expected a URL|expected a URL.*found "")/);
    await expect(refused).rejects.toThrow(`"${endpoint}"`);
  });
});

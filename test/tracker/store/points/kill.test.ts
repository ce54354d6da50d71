import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import type { MetricSample } from "../../../../src/gen/belay/v1/job_pb.ts";
import { checkDirectory } from "../../../../src/tracker/store/check/check.ts";
import { ScriptedAgent } from "../../../../src/testing/index.ts";
import { someSpec, testDirectory, testTracker } from "../../../helpers/tracker.ts";

const program = join(import.meta.dirname, "../../../helpers/tracker-process.ts");
const SECOND = 1_000_000_000n;
/** Samples in all: enough for two tiers. */
const SAMPLES = 3000;
const SESSION = "01900000-0000-7000-8000-000000000001";

/** Sends samples until the tracker dies or has confirmed so many. @returns how many it has ever confirmed */
async function send(address: string, target: number): Promise<number> {
  const agent = ScriptedAgent.connect({ url: address, jobId: "j", sessionId: SESSION });
  const welcome = await agent.hello({ spec: someSpec }).catch(() => undefined);
  let confirmed = Number(welcome?.committed?.events ?? 0n);
  for (let i = confirmed + 1; i <= SAMPLES; i++) {
    const value = { sampleUnixNano: BigInt(i) * SECOND, cpuSeconds: i, memoryBytes: BigInt((i * 7919) % 10_007) };
    agent.event({ case: "metricSample", value });
  }
  while (confirmed < target) {
    const ack = await agent.next("ack").catch(() => undefined);
    if (ack === undefined) break;
    confirmed = Number(ack.events);
  }
  return confirmed;
}

test("A tracker that is killed while it merges has each acknowledged sample in exactly one point", {
  timeout: 60_000,
}, async () => {
  const directory = await testDirectory();
  let confirmed = 0;
  // The first merge is with the 1088th, the next ones every 64.
  for (const target of [1000, 1090, 1300, 1500, 2100]) {
    const child = spawn(process.execPath, [program, directory], { stdio: ["ignore", "pipe", "inherit"] });
    onTestFinished(() => void child.kill("SIGKILL"));
    const [address] = (await once(child.stdout, "data")) as [Buffer];
    confirmed = Math.max(confirmed, await send(address.toString().trim(), target));
    child.kill("SIGKILL");
    await once(child, "exit");
    expect((await checkDirectory(directory)).findings).toEqual([]);
  }
  const { address, jobs } = await testTracker({ dataDirectory: directory });
  expect(await send(address, SAMPLES)).toBe(SAMPLES);
  const samples: MetricSample[] = [];
  for await (const answer of jobs.readMetrics({ jobId: "j" })) samples.push(...answer.samples);
  expect(samples.length).toBeLessThanOrEqual(2 * 1088);
  let next = SECOND;
  for (const { sampleUnixNano, merged } of samples) {
    expect(merged?.firstUnixNano ?? sampleUnixNano).toBe(next);
    next = sampleUnixNano + SECOND;
  }
  expect(next).toBe(BigInt(SAMPLES + 1) * SECOND);
  expect(Math.max(...samples.map(({ memoryBytes }) => Number(memoryBytes)))).toBe(10_006);
});

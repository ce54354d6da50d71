import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { LogCompleteness } from "../../src/gen/belay/v1/job_pb.ts";
import { waitForJob, waitForState } from "../../src/testing/index.ts";
import { testDirectory, testTracker } from "../helpers/tracker.ts";
import { bytesLost, counting, someAgent, until } from "./an-agent.ts";
import { record } from "./record.ts";
import { TcpProxy } from "./tcp-proxy.ts";

/** Short times, so that a test sees three intervals and a lease. Milliseconds. */
const quick = { heartbeatInterval: 300, lease: 1500 };

/** Starts a job that counts under a real agent, through a proxy to a real tracker, and checks what became of it. */
async function setUp(): Promise<{
  proxy: TcpProxy;
  tracker: Awaited<ReturnType<typeof testTracker>>;
  agent: ReturnType<typeof someAgent>;
  finish: () => Promise<{ lost: number; harmed: number }>;
}> {
  const tracker = await testTracker(quick);
  const proxy = await TcpProxy.start(tracker.address);
  const end = join(await testDirectory(), "end");
  const agent = someAgent(proxy.url, counting(end));
  await until(agent.progress, /^connected to/);
  await agent.prints("line 5 ");
  return {
    proxy,
    tracker,
    agent,
    finish: async () => {
      writeFileSync(end, "");
      const { result, delivered } = await agent.outcome;
      const { job } = await tracker.jobs.getJob({ jobId: "j1" });
      expect(delivered).toBe(true);
      expect(job?.attempts).toHaveLength(1);
      expect(job?.attempts[0]?.logCompleteness).toBe(LogCompleteness.COMPLETE);
      const counted = agent.output().endsWith("counted\n") && result.exitCode === 0;
      return { lost: await bytesLost(tracker, agent), harmed: counted ? 0 : 1 };
    },
  };
}

describe("A job under a real agent keeps every byte, and is not harmed, when the network", () => {
  test.each([
    ["ends the connection (FIN)", "fin"],
    ["resets the connection (RST)", "rst"],
  ] as const)("%s", async (name, how) => {
    const { proxy, agent, finish } = await setUp();
    const times: { noticed: number; recovered: number }[] = [];
    for (let i = 0; i < 5; i++) {
      const faultTime = performance.now();
      proxy.cut(how);
      await until(agent.progress, /^not connected/);
      const noticed = performance.now() - faultTime;
      await until(agent.progress, /^connected again/);
      times.push({ noticed, recovered: performance.now() - faultTime });
    }
    const { lost, harmed } = await finish();
    const worst = (key: "noticed" | "recovered"): number => Math.max(...times.map((time) => time[key]));
    const remark = "worst of 5";
    record({
      fault: `network ${name}`,
      noticed: worst("noticed"),
      recovered: worst("recovered"),
      bytesLost: lost,
      harmed,
      remark,
    });
    expect({ lost, harmed }).toEqual({ lost: 0, harmed: 0 });
  });

  test("cuts the connection within a message, at any byte", async () => {
    const { proxy, agent, finish } = await setUp();
    for (const bytes of [30, 77, 400, 1200, 1999, 5003]) {
      proxy.cutNextAfter(bytes);
      proxy.cut("rst");
      await until(agent.progress, /^not connected/);
    }
    await until(agent.progress, /^connected again/);
    const { lost, harmed } = await finish();
    record({ fault: "network cuts connections after 30 to 5003 bytes", bytesLost: lost, harmed });
    expect({ lost, harmed }).toEqual({ lost: 0, harmed: 0 });
  });

  test("delays everything by 250 ms each way", async () => {
    const { proxy, agent, tracker, finish } = await setUp();
    proxy.setConditions({ up: { delay: 250 }, down: { delay: 250 } });
    await agent.prints("line 150 ");
    await waitForJob(tracker.jobs, "j1", ({ attempts }) => (attempts[0]?.stored[0]?.bytes ?? 0n) > 2000n);
    const { lost, harmed } = await finish();
    expect({ lost, harmed }).toEqual({ lost: 0, harmed: 0 });
  });

  test.each([
    ["swallows what the agent sends", { up: { flow: "hold" } }],
    ["swallows what the tracker sends", { down: { flow: "hold" } }],
    ["swallows everything", { up: { flow: "hold" }, down: { flow: "hold" } }],
  ] as const)("%s; both sides notice within three intervals and a bit", async (name, conditions) => {
    const { proxy, agent, tracker, finish } = await setUp();
    const faultTime = performance.now();
    proxy.setConditions(conditions);
    const seen = waitForJob(tracker.jobs, "j1", ({ attempts }) => attempts[0]?.connected === false).then(
      () => performance.now() - faultTime,
    );
    const line = await until(agent.progress, /^not connected/);
    const noticed = performance.now() - faultTime;
    const noticedByTracker = await seen;
    expect(line).toMatch(/Job goes on; \d+ bytes spooled/);
    await waitForState(tracker.jobs, "j1", "LOST");
    const back = performance.now();
    proxy.clear();
    await waitForState(tracker.jobs, "j1", "RUNNING");
    const recovered = performance.now() - back;
    const { lost, harmed } = await finish();
    const remark = `tracker: ${(noticedByTracker / 1000).toFixed(1)} s; heartbeat interval 0.3 s`;
    record({ fault: `network ${name}`, noticed, recovered, bytesLost: lost, harmed, remark });
    expect({ lost, harmed }).toEqual({ lost: 0, harmed: 0 });
    // Three intervals are 900 ms, and recovery takes 50 ms; the bound allows for a loaded machine.
    expect(noticed).toBeLessThan(2500);
    expect(noticedByTracker).toBeLessThan(2500);
    expect(recovered).toBeLessThan(2000);
  });

  test("is down for so long that back-off has grown, and comes back: RUNNING again within two seconds", async () => {
    const { proxy, agent, tracker, finish } = await setUp();
    proxy.goAway();
    proxy.cut("rst");
    await waitForState(tracker.jobs, "j1", "LOST");
    for (let failures = 0; failures < 4; failures++) await until(agent.progress, /^not connected/);
    const back = performance.now();
    await proxy.comeBack();
    await waitForState(tracker.jobs, "j1", "RUNNING");
    const recovered = performance.now() - back;
    const { lost, harmed } = await finish();
    record({ fault: "network down for a long time", recovered, bytesLost: lost, harmed });
    expect({ lost, harmed }).toEqual({ lost: 0, harmed: 0 });
    // It takes 0.5 s; the back-off that has grown meanwhile would take longer.
    expect(recovered).toBeLessThan(2000);
  });
});

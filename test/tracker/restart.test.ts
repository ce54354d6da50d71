import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { DatabaseSync } from "node:sqlite";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { JobState, LogCompleteness } from "../../src/gen/belay/v1/job_pb.ts";
import { startTracker } from "../../src/tracker/server.ts";
import { ScriptedAgent, readLog } from "../../src/testing/index.ts";
import { jobClient, someSpec, testDirectory, testTracker } from "../helpers/tracker.ts";

const program = join(import.meta.dirname, "../helpers/tracker-process.ts");

async function trackerProcess(directory: string): Promise<{ child: ChildProcess; address: string }> {
  const child = spawn(process.execPath, [program, directory], { stdio: ["ignore", "pipe", "inherit"] });
  onTestFinished(() => void child.kill("SIGKILL"));
  const [line] = (await once(child.stdout, "data")) as [Buffer];
  return { child, address: line.toString().trim() };
}

describe("A tracker that starts on the directory of one before", () => {
  test("after a clean end, has all that was stored and goes on after it", async () => {
    const before = await testTracker();
    const agent = ScriptedAgent.connect({ url: before.address, jobId: "j" });
    await agent.hello({ spec: someSpec });
    agent.state("RUNNING");
    agent.event({ case: "stepStarted", value: { step: 1, main: true } });
    agent.print("before\n");
    await agent.acked(2n, 1n);
    const { job: was } = await before.jobs.getJob({ jobId: "j" });
    await before.tracker.close();
    const { address, jobs } = await testTracker({ dataDirectory: before.dataDirectory });
    const { job } = await jobs.getJob({ jobId: "j" });
    expect(job).toMatchObject({ state: JobState.RUNNING, step: 1, version: was?.version, createTime: was?.createTime });
    expect(job?.attempts[0]).toMatchObject({ connected: false, stored: [{ bytes: 7n, lines: 1n }] });
    const back = ScriptedAgent.connect({ url: address, jobId: "j", sessionId: agent.sessionId }).follow(agent);
    expect((await back.hello()).committed).toMatchObject({ events: 2n, logs: 1n });
    back.print("after\n");
    back.result();
    expect((await back.next("receipt")).logCompleteness).toBe(LogCompleteness.COMPLETE);
    expect(await readLog(jobs, "j", { follow: false })).toBe("before\nafter\n");
  });

  test("after kill -9 in full flow, again and again: nothing acked is lost, nothing comes twice", async () => {
    const directory = await testDirectory();
    let sent = 0;
    let sums: ScriptedAgent | undefined;
    const lines: string[] = [];
    for (let round = 0; round < 4; round++) {
      const { child, address } = await trackerProcess(directory);
      const agent: ScriptedAgent = ScriptedAgent.connect({
        url: address,
        jobId: "j",
        ...(sums === undefined ? {} : { sessionId: sums.sessionId }),
      });
      const welcome = await agent.hello({ spec: someSpec });
      const committed = Number(welcome.committed?.logs);
      // Everything that was acked is there; what was not may be.
      expect(committed).toBeGreaterThanOrEqual(sent);
      agent.countDelivered(lines.slice(0, committed));
      for (let i = committed; i < committed + 400; i++) {
        lines[i] ??= `line ${i} ${"x".repeat((i * 37) % 5000)}\n`;
        agent.print(lines[i] ?? "");
      }
      const ack = await agent.next("ack", ({ logs }) => Number(logs) >= committed + 100);
      sent = Number(ack.logs);
      child.kill("SIGKILL");
      await agent.ended;
      sums = agent;
    }
    const { jobs, address } = await testTracker({ dataDirectory: directory });
    const agent = ScriptedAgent.connect({ url: address, jobId: "j", sessionId: sums?.sessionId ?? "" });
    const committed = Number((await agent.hello()).committed?.logs);
    expect(committed).toBeGreaterThanOrEqual(sent);
    expect(await readLog(jobs, "j", { follow: false })).toBe(lines.slice(0, committed).join(""));
    agent.countDelivered(lines.slice(0, committed));
    agent.result();
    expect(await agent.next("receipt")).toMatchObject({ logCompleteness: LogCompleteness.COMPLETE });
  });
});

describe("A data directory", () => {
  test("is refused to a second tracker while the first runs, and free again after kill -9", async () => {
    const directory = await testDirectory();
    const { child } = await trackerProcess(directory);
    const second = startTracker({ listen: "127.0.0.1:0", dataDirectory: directory });
    await expect(second).rejects.toMatchObject({
      code: "STORE",
      message: `Cannot use the data directory "${directory}": another tracker is using it`,
    });
    child.kill("SIGKILL");
    await once(child, "exit");
    const { jobs } = await testTracker({ dataDirectory: directory });
    expect((await jobs.listJobs({})).jobs).toEqual([]);
  });

  test("is refused to a second tracker in the same process", async () => {
    const { dataDirectory } = await testTracker();
    await expect(startTracker({ listen: "127.0.0.1:0", dataDirectory })).rejects.toMatchObject({ code: "STORE" });
  });

  test("of a newer version is refused with what to do", async () => {
    const { tracker, dataDirectory } = await testTracker();
    await tracker.close();
    const database = new DatabaseSync(join(dataDirectory, "belay.db"));
    database.exec("PRAGMA user_version = 99");
    database.close();
    await expect(startTracker({ listen: "127.0.0.1:0", dataDirectory })).rejects.toMatchObject({
      code: "STORE",
      message: expect.stringMatching(/has version 99 .* Start the newer tracker/) as unknown,
    });
  });
});

describe("A tracker that stops", () => {
  test("sends Goodbye, ends every stream, and stores what it accepted, in time", async () => {
    const { tracker, address, jobs } = await testTracker();
    const agents = Array.from({ length: 5 }, (_, i) => ScriptedAgent.connect({ url: address, jobId: `j${i}` }));
    for (const agent of agents) {
      await agent.hello({ spec: someSpec });
      agent.print("x");
    }
    const watching = Promise.withResolvers<void>();
    const watch = (async () => {
      for await (const { change } of jobs.watchJobs({})) if (change.case === "synced") watching.resolve();
    })();
    await watching.promise;
    const follow = readLog(jobs, "j0");
    const before = performance.now();
    const ended = Promise.allSettled([watch, follow]);
    await tracker.close();
    // Less than 0.1 s; the bound that it sets itself is the drain time-out of half a second, the rest is a busy machine.
    expect(performance.now() - before).toBeLessThan(2_000);
    for (const agent of agents) {
      expect((await agent.next("goodbye")).message).toBe("The tracker stops");
      expect((await agent.ended).code).toBe(0);
    }
    expect((await ended).map(({ status }) => status)).toEqual(["rejected", "rejected"]);
    await tracker.close();
    await expect(jobClient(address).listJobs({})).rejects.toThrow();
  });
});

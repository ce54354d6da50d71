import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { execFileSync, spawnSync } from "node:child_process";
import { copyFile, mkdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it, onTestFinished, test } from "vitest";
import { Health, HealthCheckResponse_ServingStatus as Serving } from "../../src/gen/grpc/health/v1/health_pb.ts";
import { ScriptedAgent, readLog } from "../../src/testing/index.ts";
import { NO_MOUNT } from "../helpers/small-disk.ts";
import { someSpec, testDirectory, testTracker } from "../helpers/tracker.ts";

const RESOURCE_EXHAUSTED = 8;

async function ready(address: string): Promise<string> {
  const answer = await fetch(`${address}/readyz`);
  return `${answer.status} ${(await answer.text()).trimEnd()}`;
}

/** The answers that a client of grpc.health.v1 has received from Watch so far. */
function watchedHealth(address: string): Serving[] {
  const received: Serving[] = [];
  const stop = new AbortController();
  onTestFinished(() => stop.abort());
  const client = createClient(Health, createGrpcTransport({ baseUrl: address }));
  void (async () => {
    for await (const { status } of client.watch({}, { signal: stop.signal })) received.push(status);
  })().catch(() => undefined);
  return received;
}

/** Replaces a file by a copy. */
async function replace(path: string): Promise<void> {
  await copyFile(path, `${path}.copy`);
  await rename(`${path}.copy`, path);
}

describe("A data directory that disappears while the tracker runs", () => {
  it.each<[string, (data: string) => Promise<unknown>, RegExp]>([
    ["deleted", (data) => rm(data, { recursive: true }), /the data directory is missing/],
    ["renamed", (data) => rename(data, `${data}.old`), /the data directory is missing/],
    [
      "replaced by an empty one",
      async (data) => {
        await rename(data, `${data}.old`);
        await mkdir(data);
      },
      /the data directory was replaced/,
    ],
    [
      "replaced by a file",
      async (data) => {
        await rename(data, `${data}.old`);
        await writeFile(data, "");
      },
      /the data directory was replaced/,
    ],
    ["without its database", (data) => rm(join(data, "belay.db")), /belay\.db is missing/],
    ["with a copy of its database", (data) => replace(join(data, "belay.db")), /belay\.db was replaced/],
    ["without the database's latest changes", (data) => rm(join(data, "belay.db-wal")), /belay\.db-wal is missing/],
    ["without its logs", (data) => rm(join(data, "logs"), { recursive: true }), /logs is missing/],
  ])("%s: every probe fails, nothing more is confirmed, and agents keep their records", async (_, damage, why) => {
    const dataDirectory = join(await testDirectory(), "data");
    const { address, jobs } = await testTracker({ dataDirectory });
    const agent = ScriptedAgent.connect({ url: address, jobId: "j" });
    await agent.hello({ spec: someSpec });
    agent.print("before\n");
    await agent.acked(0n, 1n);
    const health = watchedHealth(address);
    expect(await ready(address)).toBe("200 ok");
    await expect.poll(() => health).toEqual([Serving.SERVING]);
    await damage(dataDirectory);
    const ended = await agent.ended;
    expect(ended.code).toBe(RESOURCE_EXHAUSTED);
    expect(ended.details).toMatch(why);
    expect(await ready(address)).toMatch(/^503 the store cannot be written: /);
    expect(await ready(address)).toMatch(why);
    await expect.poll(() => health).toEqual([Serving.SERVING, Serving.NOT_SERVING]);
    await expect(jobs.createJob({ jobId: "new", spec: someSpec })).rejects.toThrow(why);
    const back = ScriptedAgent.connect({ url: address, jobId: "j", sessionId: agent.sessionId });
    back.sayHello({ attempt: 1 });
    expect(await back.ended).toMatchObject({ code: RESOURCE_EXHAUSTED });
  });

  test("and comes back, as on a network file system: the jobs go on", async () => {
    const dataDirectory = join(await testDirectory(), "data");
    const { address, jobs } = await testTracker({ dataDirectory });
    const agent = ScriptedAgent.connect({ url: address, jobId: "j" });
    await agent.hello({ spec: someSpec });
    agent.print("before\n");
    await agent.acked(0n, 1n);
    await rename(dataDirectory, `${dataDirectory}.old`);
    await agent.ended;
    await rename(`${dataDirectory}.old`, dataDirectory);
    expect(await ready(address)).toBe("200 ok");
    const back = ScriptedAgent.connect({ url: address, jobId: "j", sessionId: agent.sessionId }).follow(agent);
    await back.hello({ attempt: 1 });
    back.print("after\n");
    back.result();
    await back.next("receipt");
    expect(await readLog(jobs, "j", { follow: false })).toBe("before\nafter\n");
  });

  test("because a read-only file system was mounted over it: the probe fails", async (context) => {
    const dataDirectory = join(await testDirectory(), "data");
    const { address } = await testTracker({ dataDirectory });
    if (spawnSync("mount", ["-t", "tmpfs", "-o", "ro", "tmpfs", dataDirectory]).status !== 0)
      return context.skip(NO_MOUNT);
    onTestFinished(() => void execFileSync("umount", ["-l", dataDirectory]));
    expect(await ready(address)).toMatch(/^503 .*the data directory was replaced/);
  });
});

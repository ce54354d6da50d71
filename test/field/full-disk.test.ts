import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { CommandState, JobState, LogCompleteness } from "../../src/gen/belay/v1/job_pb.ts";
import { Health, HealthCheckResponse_ServingStatus as Serving } from "../../src/gen/grpc/health/v1/health_pb.ts";
import { checkDirectory } from "../../src/tracker/store/check/check.ts";
import { ScriptedAgent, waitForState } from "../../src/testing/index.ts";
import { belay, belayEnds } from "../helpers/cli.ts";
import { fill, NO_MOUNT, smallDisk } from "../helpers/small-disk.ts";
import { someSpec, testTracker } from "../helpers/tracker.ts";

/** The answers of all probes. */
async function probes(address: string): Promise<{ page: string; health: Serving }> {
  const client = createClient(Health, createGrpcTransport({ baseUrl: address }));
  const [page, { status }] = await Promise.all([fetch(`${address}/readyz`), client.check({})]);
  return { page: (await page.text()).trimEnd(), health: status };
}

const READY = { page: "ok", health: Serving.SERVING };
const FULL = { page: "the store cannot be written: the disk is full", health: Serving.NOT_SERVING };

/** Runs a job that prints a number of bytes, to its end. */
async function endedJob(address: string, jobId: string, bytes: number): Promise<void> {
  const agent = ScriptedAgent.connect({ url: address, jobId });
  await agent.hello({ spec: someSpec });
  let batch = 0n;
  for (let left = bytes; left > 0; left -= 64 * 1024) batch = agent.print(Buffer.alloc(Math.min(left, 64 * 1024), "x"));
  await agent.acked(0n, batch);
  agent.result();
  await agent.next("receipt");
  agent.halfClose();
  await agent.ended;
}

describe("On a disk without a free block", () => {
  test("a job can be deleted, which makes room; until then every probe says that the disk is full", async (context) => {
    const disk = await smallDisk(8);
    if (disk === undefined) return context.skip(NO_MOUNT);
    const dataDirectory = join(disk, "data");
    const { address, jobs, tracker } = await testTracker({ dataDirectory });
    for (const jobId of ["a", "b", "c"]) await endedJob(address, jobId, 1024 * 1024);
    expect(await probes(address)).toEqual(READY);
    const free = fill(disk);
    await expect(jobs.createJob({ jobId: "more", spec: { command: ["x".repeat(100_000)] } })).rejects.toThrow(/full/);
    expect(await probes(address)).toEqual(FULL);
    await jobs.deleteJob({ jobId: "a" });
    await jobs.deleteJob({ jobId: "b" });
    await expect.poll(() => probes(address), { timeout: 5_000 }).toEqual(READY);
    // The reserve has been made again.
    expect((await stat(join(dataDirectory, "reserve"))).size).toBe(512 * 1024);
    await jobs.createJob({ jobId: "more", spec: someSpec });
    free();
    await tracker.close();
    expect((await checkDirectory(dataDirectory)).findings).toEqual([]);
  });

  test("retention makes room, also when the tracker was started again on it", async (context) => {
    const disk = await smallDisk(8);
    if (disk === undefined) return context.skip(NO_MOUNT);
    const dataDirectory = join(disk, "data");
    const first = await testTracker({ dataDirectory });
    for (const jobId of ["a", "b", "c"]) await endedJob(first.address, jobId, 1024 * 1024);
    fill(disk);
    // Fills the pages that the database has already allocated.
    for (let i = 0; i < 50; i++) await first.jobs.createJob({ jobId: `p${i}`, spec: someSpec }).catch(() => undefined);
    await first.tracker.close();
    const { address, jobs } = await testTracker({ dataDirectory, retention: { bytes: 1_500_000, interval: 100 } });
    await expect.poll(async () => (await jobs.getJob({ jobId: "a" }).catch(() => undefined))?.job).toBeUndefined();
    await expect.poll(() => probes(address), { timeout: 5_000 }).toEqual(READY);
    expect((await jobs.getJob({ jobId: "c" })).job?.state).toBe(JobState.SUCCEEDED);
  });

  test("a job that fills it can be signaled and canceled, and its end is stored", async (context) => {
    const disk = await smallDisk(8);
    if (disk === undefined) return context.skip(NO_MOUNT);
    const dataDirectory = join(disk, "data");
    const { address, jobs } = await testTracker({ dataDirectory, heartbeatInterval: 200, lease: 2000 });
    const script = "trap : USR1; while :; do seq 100000; done";
    const run = belay([
      "run",
      "--tracker",
      address,
      "--job",
      "j",
      "--quiet",
      "--flush-timeout",
      "1s",
      "--",
      "sh",
      "-c",
      script,
    ]);
    await expect.poll(() => probes(address), { timeout: 15_000 }).toEqual(FULL);
    const signaled = await belayEnds(["signal", "--tracker", address, "j", "SIGUSR1"]);
    expect(signaled).toMatchObject({ code: 0, stderr: "" });
    const canceled = await belayEnds(["cancel", "--tracker", address, "--wait", "--grace", "200ms", "j"]);
    expect(canceled.stdout).toMatch(/^j is CANCELED/);
    await run.ended;
    // The log is reported as incomplete, because some output did not fit; the job can be deleted.
    await expect
      .poll(async () => (await jobs.getJob({ jobId: "j" })).job?.attempts[0]?.logCompleteness, { timeout: 10_000 })
      .toBe(LogCompleteness.INCOMPLETE);
    await jobs.deleteJob({ jobId: "j" });
    await expect.poll(() => probes(address), { timeout: 5_000 }).toEqual(READY);
  });

  test("and without a reserve, an order still reaches a connected agent, and the answer says that it is not stored", async (context) => {
    const disk = await smallDisk(8);
    if (disk === undefined) return context.skip(NO_MOUNT);
    const dataDirectory = join(disk, "data");
    const { address, jobs } = await testTracker({ dataDirectory });
    const agent = ScriptedAgent.connect({ url: address, jobId: "j" });
    await agent.hello({ spec: someSpec });
    agent.state("RUNNING");
    await agent.acked(1n, 0n);
    await jobs.createJob({ jobId: "waits", spec: someSpec });
    await rm(join(dataDirectory, "reserve"));
    const free = fill(disk);
    const { command, agentConnected } = await jobs.signalJob({ jobId: "j", signal: "SIGUSR1", commandId: "first" });
    expect(agentConnected).toBe(true);
    expect(command).toMatchObject({
      state: CommandState.QUEUED,
      message: "Sent to the agent, but the tracker cannot store this: its disk is full",
    });
    expect(await agent.next("command")).toMatchObject({ commandId: "first", order: { case: "signal" } });
    const canceled = await belayEnds(["cancel", "--tracker", address, "j"]);
    expect(canceled.stderr).toMatch(
      /^belay: Sent to the agent, but the tracker cannot store this: its disk is full\n$/,
    );
    expect((await agent.next("command")).order.case).toBe("cancel");
    // A job without an agent: the order could not be delivered.
    await expect(jobs.cancelJob({ jobId: "waits" })).rejects.toThrow(/its disk is full/);
    free();
    await expect.poll(() => probes(address), { timeout: 5_000 }).toEqual(READY);
    // The answer to an order stores the order as well.
    agent.event({ case: "commandUpdate", value: { commandId: "first", state: CommandState.COMPLETED } });
    await agent.acked(2n, 0n);
    const { job } = await jobs.getJob({ jobId: "j" });
    expect(job?.commands.find(({ commandId }) => commandId === "first")?.state).toBe(CommandState.COMPLETED);
    agent.result();
    await waitForState(jobs, "j", "SUCCEEDED");
  });
});

import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { existsSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { JobState } from "../../../src/gen/belay/v1/job_pb.ts";
import { JobService } from "../../../src/gen/belay/v1/job_service_pb.ts";
import { BadRequestSchema } from "../../../src/gen/google/rpc/error_details_pb.ts";
import { ScriptedAgent } from "../../../src/testing/index.ts";
import { someSpec, testTracker } from "../../helpers/tracker.ts";

describe("ListJobs", () => {
  test("gives pages, newest first, without holes while jobs are added", async () => {
    const { jobs } = await testTracker();
    for (let i = 0; i < 7; i++) await jobs.createJob({ jobId: `j${i}`, spec: someSpec });
    const seen: string[] = [];
    let pageToken = "";
    do {
      const page = await jobs.listJobs({ pageSize: 3, pageToken });
      seen.push(...page.jobs.map(({ jobId }) => jobId));
      pageToken = page.nextPageToken;
      await jobs.createJob({ spec: someSpec });
    } while (pageToken !== "");
    expect(seen).toEqual(["j6", "j5", "j4", "j3", "j2", "j1", "j0"]);
    await expect(jobs.listJobs({ pageToken: "made up" })).rejects.toMatchObject({ code: Code.InvalidArgument });
    await expect(jobs.listJobs({ pageSize: 1001 })).rejects.toMatchObject({ code: Code.InvalidArgument });
  });

  test("filters by state, label, name and time, all together", async () => {
    const { jobs } = await testTracker();
    await jobs.createJob({ jobId: "a", spec: { ...someSpec, name: "train", labels: { team: "x", gpu: "1" } } });
    await jobs.createJob({ jobId: "b", spec: { ...someSpec, name: "train", labels: { team: "x" } } });
    await jobs.createJob({ jobId: "c", spec: { ...someSpec, name: "test", labels: { team: "y" } } });
    await jobs.cancelJob({ jobId: "b" });
    const ids = async (filter: NonNullable<Parameters<typeof jobs.listJobs>[0]["filter"]>) =>
      (await jobs.listJobs({ filter })).jobs.map(({ jobId }) => jobId);
    expect(await ids({ labels: { team: "x" } })).toEqual(["b", "a"]);
    expect(await ids({ labels: { team: "x", gpu: "1" } })).toEqual(["a"]);
    expect(await ids({ name: "train", states: [JobState.CANCELED, JobState.FAILED] })).toEqual(["b"]);
    expect(await ids({ states: [JobState.PENDING] })).toEqual(["c", "a"]);
    expect(await ids({ createTimeFrom: timestampFromMs(Date.now() + 60_000) })).toEqual([]);
    expect(await ids({ createTimeTo: timestampFromMs(Date.now() + 60_000) })).toHaveLength(3);
  });
});

describe("DeleteJob", () => {
  test("removes an ended job with all that is stored of it", async () => {
    const { address, jobs, dataDirectory } = await testTracker();
    const agent = ScriptedAgent.connect({ url: address, jobId: "j" });
    await agent.hello({ spec: someSpec });
    agent.print("x");
    await agent.acked(0n, 1n);
    await expect(jobs.deleteJob({ jobId: "j" })).rejects.toMatchObject({
      code: Code.FailedPrecondition,
      rawMessage: 'Cannot delete job "j": it is SETTING_UP; cancel it first',
    });
    agent.result();
    await agent.next("receipt");
    expect(existsSync(join(dataDirectory, "logs", "1", "1.log"))).toBe(true);
    await jobs.deleteJob({ jobId: "j" });
    expect(await readdir(join(dataDirectory, "logs"))).toEqual(["store-id"]);
    await expect(jobs.getJob({ jobId: "j" })).rejects.toMatchObject({ code: Code.NotFound });
    expect(await agent.ended).toMatchObject({ code: Code.NotFound });
    const { job } = await jobs.createJob({ jobId: "j", spec: someSpec });
    expect(job?.attempts).toEqual([]);
  });
});

describe("ReadMetrics", () => {
  test("gives samples in order, thinned if asked, of a range, and follows to the end", async () => {
    const { address, jobs } = await testTracker();
    const agent = ScriptedAgent.connect({ url: address, jobId: "j" });
    await agent.hello({ spec: someSpec });
    const second = 1_000_000_000n;
    for (let i = 0n; i < 10n; i++) {
      agent.event({ case: "metricSample", value: { sampleUnixNano: i * second, processes: Number(i) } });
    }
    agent.event({ case: "jobMetrics", value: { readUnixNano: 10n * second, metrics: [{ name: "loss", value: 0.5 }] } });
    await agent.acked(11n, 0n);
    const read = async (request: Parameters<typeof jobs.readMetrics>[0]) => {
      const samples: number[] = [];
      const names: string[] = [];
      for await (const answer of jobs.readMetrics({ jobId: "j", ...request })) {
        samples.push(...answer.samples.map(({ processes }) => processes));
        names.push(...answer.jobMetrics.flatMap(({ metrics }) => metrics.map(({ name }) => name)));
      }
      return { samples, names };
    };
    expect(await read({})).toEqual({ samples: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], names: ["loss"] });
    const range = { startTime: timestampFromMs(2000), endTime: timestampFromMs(5000) };
    expect(await read(range)).toEqual({ samples: [2, 3, 4], names: [] });
    const thinned = await read({ maxSamples: 3 });
    expect(thinned).toEqual({ samples: [3, 6, 9], names: ["loss"] });
    const followed = read({ follow: true });
    agent.event({ case: "metricSample", value: { sampleUnixNano: 20n * second, processes: 20 } });
    agent.result();
    expect((await followed).samples.at(-1)).toBe(20);
    expect((await jobs.getJob({ jobId: "j" })).job?.attempts[0]?.metrics?.processes).toBe(20);
  });
});

test("The error of an invalid call has google.rpc.BadRequest with the field, for programs", async () => {
  const { jobs, address } = await testTracker();
  const cases = [
    [jobs.getJob({ jobId: "a/b" }), "job_id"],
    [jobs.createJob({ spec: {} }), "spec.command"],
    [jobs.createJob({ spec: { command: ["x"], labels: { "a b": "" } } }), "spec.labels"],
    [jobs.listJobs({ pageSize: 5000 }), "page_size"],
    [jobs.listJobs({ pageToken: "x" }), "page_token"],
  ] as const;
  for (const [call, field] of cases) {
    const error = ConnectError.from(
      await call.then(
        () => undefined,
        (thrown: unknown) => thrown,
      ),
    );
    const [details] = error.findDetails(BadRequestSchema);
    expect(details?.fieldViolations).toMatchObject([{ field, description: error.rawMessage }]);
  }
  const grpc = createClient(JobService, createGrpcTransport({ baseUrl: address }));
  const error = ConnectError.from(await grpc.getJob({ jobId: "a/b" }).catch((thrown: unknown) => thrown));
  expect(error.findDetails(BadRequestSchema)[0]?.fieldViolations[0]?.field).toBe("job_id");
});

test("A job's times are the agent's own, as its result has them", async () => {
  const { address, jobs } = await testTracker();
  const agent = ScriptedAgent.connect({ url: address, jobId: "j" });
  await agent.hello({ spec: someSpec });
  agent.event({ case: "stepStarted", value: { step: 1, main: true } });
  const startTime = timestampFromMs(1_700_000_000_000);
  const endTime = timestampFromMs(1_700_000_005_000);
  agent.result({ startTime, endTime });
  await agent.next("receipt");
  expect((await jobs.getJob({ jobId: "j" })).job).toMatchObject({ startTime, endTime });
});

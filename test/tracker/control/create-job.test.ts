import { Code } from "@connectrpc/connect";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { describe, expect, test } from "vitest";
import { JobState } from "../../../src/gen/belay/v1/job_pb.ts";
import { ScriptedAgent } from "../../../src/testing/index.ts";
import { someSpec, testTracker } from "../../helpers/tracker.ts";

describe("CreateJob", () => {
  test("is idempotent by id: the same spec returns the job, another one is ALREADY_EXISTS", async () => {
    const { jobs } = await testTracker();
    const spec = { ...someSpec, labels: { a: "1" } };
    const first = await jobs.createJob({ jobId: "j", spec });
    const second = await jobs.createJob({ jobId: "j", spec });
    expect(second.job).toEqual(first.job);
    await expect(jobs.createJob({ jobId: "j", spec: { command: ["false"] } })).rejects.toMatchObject({
      code: Code.AlreadyExists,
      rawMessage: 'Job "j" exists with another spec',
    });
  });

  test("makes an id when none is given", async () => {
    const { jobs } = await testTracker();
    const { job } = await jobs.createJob({ spec: someSpec });
    expect(job?.jobId).toMatch(/^[0-9a-z]{12}$/);
    expect((await jobs.getJob({ jobId: job?.jobId ?? "" })).job).toEqual(job);
  });

  const many = Object.fromEntries(Array.from({ length: 65 }, (_, i) => [`k${i}`, ""]));
  test.each([
    [{ jobId: "a/b", spec: someSpec }, /^job_id "a\/b": expected 1 to 128 letters/],
    [{ jobId: "x".repeat(300), spec: someSpec }, /^job_id .* has 300 characters: expected at most 128/],
    [{}, /^spec is absent: expected the command to run, or like_job_id/],
    [{ spec: {} }, /^spec.command is empty: expected a program/],
    [{ spec: { command: ["a\0b"] } }, /^spec.command\[0\] contains a NUL byte/],
    [{ spec: { ...someSpec, name: "é".repeat(129) } }, /^spec.name has 258 bytes: expected at most 256/],
    [{ spec: { ...someSpec, labels: many } }, /^spec.labels has 65 entries: expected at most 64/],
    [{ spec: { ...someSpec, labels: { "a b": "" } } }, /^spec.labels has the key "a b": expected/],
    [{ spec: { ...someSpec, labels: { a: "x".repeat(257) } } }, /^spec.labels\["a"\] has 257 bytes/],
    [{ spec: { ...someSpec, setup: [{ run: "true" }, { run: " " }] } }, /^spec.setup\[1\].run is empty/],
    [{ spec: { ...someSpec, environment: { "A=B": "" } } }, /^spec.environment has the name "A=B"/],
    [{ spec: { ...someSpec, timeout: durationFromMs(-1) } }, /^spec.timeout is -0.001 s: expected 0 or more/],
    [{ spec: { ...someSpec, stopSignal: "SIGNOT" } }, /^spec.stop_signal "SIGNOT": expected the name of a signal/],
  ])("refuses what breaks a rule, naming field, rule and what was found: %#", async (request, message) => {
    const { jobs } = await testTracker();
    await expect(jobs.createJob(request)).rejects.toMatchObject({
      code: Code.InvalidArgument,
      rawMessage: expect.stringMatching(message) as unknown,
    });
    expect((await jobs.listJobs({})).jobs).toEqual([]);
  });
});

describe("CreateJob like another job", () => {
  const spec = {
    ...someSpec,
    labels: { team: "x" },
    environment: { DB_PASS: "hunter2-hunter2" },
    traceParent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    traceState: "a=1",
  };

  test("copies the spec at the tracker, with secrets that no answer shows, without its trace", async () => {
    const { address, jobs } = await testTracker();
    await jobs.createJob({ jobId: "first", spec });
    await jobs.cancelJob({ jobId: "first" });
    const { job } = await jobs.createJob({ jobId: "second", likeJobId: "first" });
    expect(job).toMatchObject({ state: JobState.PENDING, attempts: [] });
    expect(job?.spec).toMatchObject({ ...spec, environment: { DB_PASS: "***" }, traceParent: "", traceState: "" });
    expect(job?.traceParent).not.toContain("4bf92f3577b34da6a3ce929d0e0e4736");
    const agent = ScriptedAgent.connect({ url: address, jobId: "second" });
    expect((await agent.hello()).spec).toMatchObject({
      command: ["true"],
      environment: { DB_PASS: "hunter2-hunter2" },
    });
    agent.vanish();
    expect((await jobs.createJob({ jobId: "second", likeJobId: "first" })).job?.jobId).toBe("second");
    expect((await jobs.createJob({ likeJobId: "second" })).job?.spec?.labels).toEqual({ team: "x" });
  });

  test("shows what the agent of the other job allowed to be shown, while the next agent gets all of it", async () => {
    const { address, jobs } = await testTracker();
    const first = ScriptedAgent.connect({ url: address, jobId: "first" });
    await first.hello({ spec: { command: ["curl", "key-of-the-agent"] }, shownSpec: { command: ["curl", "***"] } });
    first.result();
    await first.next("receipt");
    first.vanish();
    const { job } = await jobs.createJob({ jobId: "second", likeJobId: "first" });
    expect(job?.spec?.command).toEqual(["curl", "***"]);
    expect((await jobs.getJob({ jobId: "second" })).job?.spec?.command).toEqual(["curl", "***"]);
    const second = ScriptedAgent.connect({ url: address, jobId: "second" });
    expect((await second.hello()).spec?.command).toEqual(["curl", "key-of-the-agent"]);
    second.vanish();
  });

  test.each([
    [{ likeJobId: "first", spec }, Code.InvalidArgument, "spec is set, and so is like_job_id: expected one of them"],
    [{ likeJobId: "a/b" }, Code.InvalidArgument, /^like_job_id "a\/b": expected 1 to 128 letters/],
    [{ likeJobId: "first", jobId: "first" }, Code.InvalidArgument, /^like_job_id "first" is also the job_id/],
    [{ likeJobId: "none" }, Code.NotFound, 'Job "none" does not exist'],
    [{ likeJobId: "first", jobId: "other" }, Code.AlreadyExists, 'Job "other" exists with another spec'],
  ])("refuses what cannot be copied: %#", async (request, code, message) => {
    const { jobs } = await testTracker();
    await jobs.createJob({ jobId: "first", spec });
    await jobs.createJob({ jobId: "other", spec: someSpec });
    const rawMessage = typeof message === "string" ? message : (expect.stringMatching(message) as unknown);
    await expect(jobs.createJob(request)).rejects.toMatchObject({ code, rawMessage });
    expect((await jobs.listJobs({})).jobs).toHaveLength(2);
  });
});

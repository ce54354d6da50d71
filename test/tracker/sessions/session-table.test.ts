import { create, toBinary } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { describe, expect, test } from "vitest";
import { KiB } from "../../../src/base/text/sizes.ts";
import type { AgentInfo } from "../../../src/gen/belay/v1/job_pb.ts";
import { AgentInfoSchema, JobState, LogCompleteness } from "../../../src/gen/belay/v1/job_pb.ts";
import { GoodbyeReason } from "../../../src/gen/belay/v1/tracker_service_pb.ts";
import { ScriptedAgent, waitForJob, waitForState } from "../../../src/testing/index.ts";
import { someSpec, testTracker } from "../../helpers/tracker.ts";

/** Short enough to lose a job within a test. */
const shortLease = { heartbeatInterval: 100, lease: 300 };

describe("A job that the tracker does not know", () => {
  test("is made when Hello has a spec", async () => {
    const { address, jobs } = await testTracker();
    const agent = ScriptedAgent.connect({ url: address, jobId: "new" });
    const welcome = await agent.hello({ spec: someSpec });
    expect(welcome.attempt).toBe(1);
    expect(welcome.spec).toBeUndefined();
    const { job } = await jobs.getJob({ jobId: "new" });
    expect(job?.spec?.command).toEqual(["true"]);
    expect(job?.state).toBe(JobState.SETTING_UP);
    expect(job?.attempts[0]).toMatchObject({ sessionId: agent.sessionId, connected: true });
  });

  test("is NOT_FOUND when Hello has no spec", async () => {
    const { address } = await testTracker();
    const agent = ScriptedAgent.connect({ url: address, jobId: "none" });
    agent.sayHello();
    expect(await agent.ended).toEqual({ code: Code.NotFound, details: 'Job "none" does not exist' });
  });
});

describe("A job that has ended", () => {
  test("is refused with FAILED_PRECONDITION when it was canceled before an agent had it", async () => {
    const { address, jobs } = await testTracker();
    await jobs.createJob({ jobId: "j", spec: someSpec });
    const { job, command } = await jobs.cancelJob({ jobId: "j", reason: "not needed" });
    expect(job?.state).toBe(JobState.CANCELED);
    expect(job?.result?.message).toContain("not needed");
    expect(command).toBeUndefined();
    const agent = ScriptedAgent.connect({ url: address, jobId: "j" });
    agent.sayHello();
    expect(await agent.ended).toMatchObject({ code: Code.FailedPrecondition });
  });

  test("welcomes its own session, so that the log can finish, and confirms again", async () => {
    const { address, jobs } = await testTracker();
    const first = ScriptedAgent.connect({ url: address, jobId: "j" });
    await first.hello({ spec: someSpec });
    first.print("early\n");
    await first.acked(0n, 1n);
    const late = Buffer.from("late\n");
    const second = ScriptedAgent.connect({ url: address, jobId: "j", sessionId: first.sessionId }).follow(first);
    first.result({ streams: [{ stream: 1, bytes: 11n, crc32: 0x6e5f2b0e }] });
    await first.acked(1n, 1n);
    first.vanish();
    expect((await waitForState(jobs, "j", "SUCCEEDED")).attempts[0]?.logCompleteness).toBe(LogCompleteness.UNSPECIFIED);
    expect((await second.hello({ spec: someSpec })).committed).toMatchObject({ events: 1n, logs: 1n });
    second.print(late);
    const receipt = await second.next("receipt");
    // The checksum above is made up, so it cannot match.
    expect(receipt.logCompleteness).toBe(LogCompleteness.INCOMPLETE);
    expect(receipt.message).toMatch(/^stdout: the checksum of what is stored is [0-9a-f]{8}, expected 6e5f2b0e$/);
    second.vanish();
    const third = ScriptedAgent.connect({ url: address, jobId: "j", sessionId: first.sessionId });
    await third.hello();
    expect((await third.next("receipt")).logCompleteness).toBe(LogCompleteness.INCOMPLETE);
  });

  test("refuses every other session", async () => {
    const { address } = await testTracker();
    const agent = ScriptedAgent.connect({ url: address, jobId: "j" });
    await agent.hello({ spec: someSpec });
    agent.result();
    await agent.next("receipt");
    const other = ScriptedAgent.connect({ url: address, jobId: "j" });
    other.sayHello({ spec: someSpec });
    expect(await other.ended).toEqual({ code: Code.FailedPrecondition, details: 'Job "j" has ended: it is SUCCEEDED' });
  });
});

describe("A job that runs", () => {
  test("continues with a newer stream of its session; the old one gets Goodbye and ends", async () => {
    const { address, jobs } = await testTracker();
    const old = ScriptedAgent.connect({ url: address, jobId: "j" });
    await old.hello({ spec: someSpec });
    old.state("RUNNING");
    old.print("a");
    await old.acked(1n, 1n);
    const fresh = ScriptedAgent.connect({ url: address, jobId: "j", sessionId: old.sessionId }).follow(old);
    const welcome = await fresh.hello({ spec: someSpec, attempt: 1 });
    expect(welcome.committed).toMatchObject({ events: 1n, logs: 1n });
    expect((await old.next("goodbye")).reason).toBe(GoodbyeReason.REPLACED);
    expect(await old.ended).toMatchObject({ code: 0 });
    fresh.print("b");
    await fresh.acked(1n, 2n);
    expect((await jobs.getJob({ jobId: "j" })).job?.attempts).toHaveLength(1);
  });

  test("is ALREADY_EXISTS for another session while the lease is alive", async () => {
    const { address } = await testTracker();
    await ScriptedAgent.connect({ url: address, jobId: "j" }).hello({ spec: someSpec });
    const other = ScriptedAgent.connect({ url: address, jobId: "j" });
    other.sayHello({ spec: someSpec });
    const { code, details } = await other.ended;
    expect(code).toBe(Code.AlreadyExists);
    expect(details).toMatch(/^Job "j" runs under session .+, attempt 1; its lease ends in \d+/);
  });

  test("goes to exactly one of twenty agents that ask at once", async () => {
    const { address, jobs } = await testTracker();
    const agents = Array.from({ length: 20 }, () => ScriptedAgent.connect({ url: address, jobId: "race" }));
    const outcomes = await Promise.all(
      agents.map((agent) =>
        agent.hello({ spec: someSpec }).then(
          () => "welcome",
          async () => (await agent.ended).code,
        ),
      ),
    );
    expect(outcomes.filter((outcome) => outcome === "welcome")).toHaveLength(1);
    expect(outcomes.filter((outcome) => outcome === Code.AlreadyExists)).toHaveLength(19);
    expect((await jobs.getJob({ jobId: "race" })).job?.attempts).toHaveLength(1);
  });
});

describe("A job that is lost", () => {
  test("is running again as soon as its session returns, in the state that the agent reports", async () => {
    const { address, jobs } = await testTracker(shortLease);
    const agent = ScriptedAgent.connect({ url: address, jobId: "j" });
    await agent.hello({ spec: someSpec });
    agent.state("RUNNING");
    await agent.acked(1n, 0n);
    agent.vanish();
    await waitForState(jobs, "j", "LOST");
    const back = ScriptedAgent.connect({ url: address, jobId: "j", sessionId: agent.sessionId });
    const welcome = await back.hello({ spec: someSpec, attempt: 1, state: JobState.PAUSED });
    expect(welcome.attempt).toBe(1);
    expect((await jobs.getJob({ jobId: "j" })).job?.state).toBe(JobState.PAUSED);
  });

  test("goes to another session as the next attempt; the first is fenced when it returns", async () => {
    const { address, jobs } = await testTracker(shortLease);
    const first = ScriptedAgent.connect({ url: address, jobId: "j" });
    await first.hello({ spec: someSpec });
    first.print("of the first\n");
    await first.acked(0n, 1n);
    first.vanish();
    await waitForState(jobs, "j", "LOST");
    const second = ScriptedAgent.connect({ url: address, jobId: "j" });
    expect((await second.hello({ spec: someSpec })).attempt).toBe(2);
    const back = ScriptedAgent.connect({ url: address, jobId: "j", sessionId: first.sessionId });
    back.sayHello({ spec: someSpec, attempt: 1 });
    expect(await back.ended).toEqual({
      code: Code.FailedPrecondition,
      details: 'Attempt 1 of job "j" was superseded by attempt 2',
    });
    const job = await waitForJob(jobs, "j", ({ attempts }) => attempts.length === 2);
    expect(job.attempts[0]).toMatchObject({ superseded: true, stored: [{ stream: 1, bytes: 13n }] });
    expect(job.attempts[1]).toMatchObject({ superseded: false, sessionId: second.sessionId });
  });

  test("stays under its session after a restart of the tracker for one full lease, then is lost", async () => {
    const before = await testTracker(shortLease);
    const agent = ScriptedAgent.connect({ url: before.address, jobId: "j" });
    await agent.hello({ spec: someSpec });
    agent.state("RUNNING");
    await agent.acked(1n, 0n);
    await before.tracker.close();
    const after = await testTracker({ ...shortLease, dataDirectory: before.dataDirectory });
    const other = ScriptedAgent.connect({ url: after.address, jobId: "j" });
    other.sayHello({ spec: someSpec });
    expect(await other.ended).toMatchObject({ code: Code.AlreadyExists });
    await waitForState(after.jobs, "j", "LOST");
  });
});

/** A description of an agent that takes this many bytes. */
function agentOf(bytes: number): AgentInfo {
  const info = create(AgentInfoSchema, { hostname: "h".repeat(bytes - 10) });
  info.hostname += "h".repeat(bytes - toBinary(AgentInfoSchema, info).byteLength);
  return info;
}

describe("A first message", () => {
  const cases: [string, (agent: ScriptedAgent) => void, RegExp][] = [
    ["that is no Hello", (agent) => agent.beat(1n), /^Expected Hello as the first message, found heartbeat$/],
    [
      "that cannot be decoded",
      (agent) => agent.sendBytes(Buffer.from([0x0a, 0xff])),
      /^Message cannot be decoded: premature EOF$/,
    ],
    ["that never comes", (agent) => agent.halfClose(), /found the end of the stream$/],
    ["with a job id that breaks the rule", (agent) => agent.sayHello({ jobId: "a/b" }), /^Bad job_id "a\/b": expected/],
    ["with a job id of 300 characters", (agent) => agent.sayHello({ jobId: "a".repeat(300) }), /has 300 characters/],
    ["without a session id", (agent) => agent.sayHello({ sessionId: "" }), /^Bad session_id: it has 0 bytes/],
    [
      "with more than 64 KiB about its agent",
      (agent) => agent.sayHello({ spec: someSpec, agent: agentOf(64 * KiB + 1) }),
      /^Bad agent: it has 65537 bytes, expected at most 65536$/,
    ],
    ["with a spec without a command", (agent) => agent.sayHello({ spec: {} }), /^Bad spec: spec.command is empty/],
  ];
  test.each(cases)("%s ends the stream with INVALID_ARGUMENT", async (_, say, details) => {
    const { address } = await testTracker();
    const agent = ScriptedAgent.connect({ url: address, jobId: "j" });
    say(agent);
    const end = await agent.ended;
    expect(end.code).toBe(Code.InvalidArgument);
    expect(end.details).toMatch(details);
  });

  test("may have 64 KiB about its agent, all of which is shown", async () => {
    const { address, jobs } = await testTracker();
    const agent = agentOf(64 * KiB);
    await ScriptedAgent.connect({ url: address, jobId: "j" }).hello({ spec: someSpec, agent });
    expect((await jobs.getJob({ jobId: "j" })).job?.attempts[0]?.agent).toEqual(agent);
  });

  test("that comes twice ends the stream with INVALID_ARGUMENT", async () => {
    const { address } = await testTracker();
    const agent = ScriptedAgent.connect({ url: address, jobId: "j" });
    await agent.hello({ spec: someSpec });
    agent.sayHello();
    expect(await agent.ended).toMatchObject({ code: Code.InvalidArgument });
  });
});

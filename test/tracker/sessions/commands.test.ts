import { Code } from "@connectrpc/connect";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { describe, expect, test } from "vitest";
import { CommandKind, CommandState, JobState } from "../../../src/gen/belay/v1/job_pb.ts";
import { ScriptedAgent, waitForJob } from "../../../src/testing/index.ts";
import { someSpec, testTracker } from "../../helpers/tracker.ts";

describe("A command", () => {
  test("goes to the agent at once and is recorded as the agent reports it", async () => {
    const { address, jobs } = await testTracker();
    const agent = ScriptedAgent.connect({ url: address, jobId: "j" });
    await agent.hello({ spec: someSpec });
    const { command, agentConnected } = await jobs.signalJob({ jobId: "j", signal: "SIGUSR1", commandId: "s1" });
    expect(agentConnected).toBe(true);
    expect(command).toMatchObject({ commandId: "s1", kind: CommandKind.SIGNAL, state: CommandState.QUEUED });
    const value = await agent.next("command");
    expect(value).toMatchObject({ commandId: "s1", order: { case: "signal", value: { name: "SIGUSR1" } } });
    agent.event({ case: "commandUpdate", value: { commandId: "s1", state: CommandState.RECEIVED } });
    await waitForJob(jobs, "j", ({ commands }) => commands[0]?.state === CommandState.RECEIVED);
    agent.event({
      case: "commandUpdate",
      value: { commandId: "s1", state: CommandState.REJECTED, message: "no process" },
    });
    const job = await waitForJob(jobs, "j", ({ commands }) => commands[0]?.state === CommandState.REJECTED);
    expect(job.commands[0]?.message).toBe("no process");
  });

  test("for an agent that is away waits, and comes with Welcome, oldest first, until it is completed", async () => {
    const { address, jobs } = await testTracker();
    const agent = ScriptedAgent.connect({ url: address, jobId: "j" });
    await agent.hello({ spec: someSpec });
    agent.vanish();
    await agent.ended;
    await jobs.pauseJob({ jobId: "j", commandId: "first" });
    const { job } = await jobs.cancelJob({ jobId: "j", reason: "why", gracePeriod: durationFromMs(1500) });
    expect(job?.commands).toHaveLength(2);
    const second = ScriptedAgent.connect({ url: address, jobId: "j", sessionId: agent.sessionId });
    const welcome = await second.hello();
    expect(welcome.commands.map(({ order }) => order.case)).toEqual(["pause", "cancel"]);
    expect(welcome.commands[1]?.order.value).toMatchObject({ reason: "why", gracePeriod: durationFromMs(1500) });
    second.event({ case: "commandUpdate", value: { commandId: "first", state: CommandState.COMPLETED } });
    await second.acked(1n, 0n);
    second.vanish();
    const third = ScriptedAgent.connect({ url: address, jobId: "j", sessionId: agent.sessionId });
    expect((await third.hello()).commands.map(({ order }) => order.case)).toEqual(["cancel"]);
  });

  test("survives a restart of the tracker", async () => {
    const before = await testTracker();
    const agent = ScriptedAgent.connect({ url: before.address, jobId: "j" });
    await agent.hello({ spec: someSpec });
    await before.jobs.cancelJob({ jobId: "j", commandId: "c" });
    await before.tracker.close();
    const { address, jobs } = await testTracker({ dataDirectory: before.dataDirectory });
    const again = ScriptedAgent.connect({ url: address, jobId: "j", sessionId: agent.sessionId });
    expect((await again.hello()).commands.map(({ commandId }) => commandId)).toEqual(["c"]);
    expect((await jobs.getJob({ jobId: "j" })).job?.commands[0]).toMatchObject({ commandId: "c" });
  });

  test("with an id that was used is answered as before; another order with it is ALREADY_EXISTS", async () => {
    const { address, jobs } = await testTracker();
    const agent = ScriptedAgent.connect({ url: address, jobId: "j" });
    await agent.hello({ spec: someSpec });
    await jobs.cancelJob({ jobId: "j", commandId: "c" });
    const { job, command } = await jobs.cancelJob({ jobId: "j", commandId: "c" });
    expect(job?.commands).toHaveLength(1);
    expect(command?.commandId).toBe("c");
    await expect(jobs.pauseJob({ jobId: "j", commandId: "c" })).rejects.toMatchObject({ code: Code.AlreadyExists });
  });

  test("of a kind that the agent does not know is rejected on its behalf", async () => {
    const { address, jobs } = await testTracker();
    const agent = ScriptedAgent.connect({ url: address, jobId: "j" });
    await agent.hello({ spec: someSpec, supportedCommands: [CommandKind.CANCEL] });
    const { command } = await jobs.pauseJob({ jobId: "j" });
    expect(command?.state).toBe(CommandState.REJECTED);
    await jobs.cancelJob({ jobId: "j" });
    expect((await agent.next("command")).order.case).toBe("cancel");
  });

  test("that is left when job and log are done is closed: the cancel is completed, others rejected", async () => {
    const { address, jobs } = await testTracker();
    const agent = ScriptedAgent.connect({ url: address, jobId: "j" });
    await agent.hello({ spec: someSpec });
    await jobs.pauseJob({ jobId: "j" });
    await jobs.cancelJob({ jobId: "j" });
    agent.result({ outcome: 3 });
    await agent.next("receipt");
    const { job } = await jobs.getJob({ jobId: "j" });
    expect(job?.commands.map(({ state }) => state)).toEqual([CommandState.REJECTED, CommandState.COMPLETED]);
    expect(job?.state).toBe(JobState.CANCELED);
    const again = await jobs.cancelJob({ jobId: "j" });
    expect(again.command).toBeUndefined();
    expect(again.job?.commands).toHaveLength(2);
    await expect(jobs.signalJob({ jobId: "j", signal: "SIGHUP" })).rejects.toMatchObject({
      code: Code.FailedPrecondition,
      rawMessage: 'No process of job "j" runs: it is CANCELED',
    });
  });
});

describe("GetJobStatus", () => {
  test("brings the agent's report and how long it took", async () => {
    const { address, jobs } = await testTracker();
    const agent = ScriptedAgent.connect({ url: address, jobId: "j" });
    await agent.hello({ spec: someSpec });
    const asked = jobs.getJobStatus({ jobId: "j" });
    const value = await agent.next("command");
    expect(value.order.case).toBe("status");
    const status = { state: JobState.RUNNING, pid: 42 };
    agent.event({
      case: "commandUpdate",
      value: { commandId: value.commandId, state: CommandState.COMPLETED, status },
    });
    const answer = await asked;
    expect(answer.report).toMatchObject(status);
    expect(answer.message).toBe("");
    expect(answer.roundTrip).toBeDefined();
    // It leaves no trace among the commands.
    expect(answer.job?.commands).toEqual([]);
  });

  test("reports that the agent did not answer in time", async () => {
    const { address, jobs } = await testTracker();
    await ScriptedAgent.connect({ url: address, jobId: "j" }).hello({ spec: someSpec });
    const answer = await jobs.getJobStatus({ jobId: "j", wait: durationFromMs(50) });
    expect(answer.report).toBeUndefined();
    expect(answer.message).toBe("The agent did not answer within 50ms");
  });

  test("asks again on a new stream while a caller waits", async () => {
    const { address, jobs } = await testTracker();
    const agent = ScriptedAgent.connect({ url: address, jobId: "j" });
    await agent.hello({ spec: someSpec });
    const asked = jobs.getJobStatus({ jobId: "j" });
    await agent.next("command");
    agent.vanish();
    const back = ScriptedAgent.connect({ url: address, jobId: "j", sessionId: agent.sessionId });
    const [command] = (await back.hello()).commands;
    const commandId = command?.commandId ?? "";
    back.event({ case: "commandUpdate", value: { commandId, state: CommandState.COMPLETED, status: { pid: 7 } } });
    expect((await asked).report?.pid).toBe(7);
  });

  test.each([
    ["no agent has the job", async () => undefined, "No agent has the job yet"],
    [
      "the agent is away",
      async (address: string) => {
        const agent = ScriptedAgent.connect({ url: address, jobId: "j" });
        await agent.hello();
        agent.vanish();
      },
      "The agent is not connected",
    ],
    [
      "the job has ended",
      async (address: string) => {
        const agent = ScriptedAgent.connect({ url: address, jobId: "j" });
        await agent.hello();
        agent.result();
        await agent.next("receipt");
      },
      "The job has ended: it is SUCCEEDED",
    ],
  ])("says so at once when %s", async (_, arrange, message) => {
    const { address, jobs } = await testTracker();
    await jobs.createJob({ jobId: "j", spec: someSpec });
    await arrange(address);
    // The agent's going is noticed a moment after it went.
    if (message.includes("not connected")) {
      await expect.poll(async () => (await jobs.getJob({ jobId: "j" })).job?.attempts[0]?.connected).toBe(false);
    }
    const answer = await jobs.getJobStatus({ jobId: "j" });
    expect(answer).toMatchObject({ message, job: { jobId: "j" } });
  });
});

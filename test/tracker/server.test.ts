import { expect, test } from "vitest";
import { CommandState, JobState, LogCompleteness } from "../../src/gen/belay/v1/job_pb.ts";
import { ScriptedAgent, readLog } from "../../src/testing/index.ts";
import { someSpec, testTracker } from "../helpers/tracker.ts";

test("A job goes through: hello, log, follow, cancel, result, receipt, end", async () => {
  const { address, jobs } = await testTracker();
  await jobs.createJob({ jobId: "j1", spec: someSpec });
  const agent = ScriptedAgent.connect({ url: address, jobId: "j1" });
  const welcome = await agent.hello();
  expect(welcome.attempt).toBe(1);
  expect(welcome.spec?.command).toEqual(["true"]);
  const followed = readLog(jobs, "j1");
  agent.state("RUNNING");
  agent.print("one\n");
  agent.print("two\n");
  await agent.acked(1n, 2n);
  const cancel = await jobs.cancelJob({ jobId: "j1", reason: "enough" });
  expect(cancel.agentConnected).toBe(true);
  const command = await agent.next("command");
  expect(command.order.case).toBe("cancel");
  agent.event({
    case: "commandUpdate",
    value: { commandId: command.commandId, state: CommandState.COMPLETED },
  });
  agent.result();
  const receipt = await agent.next("receipt");
  expect(receipt.logCompleteness).toBe(LogCompleteness.COMPLETE);
  agent.halfClose();
  expect(await agent.ended).toMatchObject({ code: 0 });
  expect(await followed).toBe("one\ntwo\n");
  const { job } = await jobs.getJob({ jobId: "j1" });
  expect(job?.state).toBe(JobState.SUCCEEDED);
  expect(job?.commands[0]?.state).toBe(CommandState.COMPLETED);
});

import { Code } from "@connectrpc/connect";
import { expect, test } from "vitest";
import { JobState } from "../../../src/gen/belay/v1/job_pb.ts";
import { ScriptedAgent, waitForState } from "../../../src/testing/index.ts";
import { someSpec, testTracker } from "../../helpers/tracker.ts";

test("Each heartbeat is answered, and the latest is shown", async () => {
  const { address, jobs } = await testTracker();
  const agent = ScriptedAgent.connect({ url: address, jobId: "j" });
  const welcome = await agent.hello({ spec: someSpec });
  expect(welcome.heartbeatInterval?.seconds).toBe(10n);
  expect(welcome.leaseDuration?.seconds).toBe(30n);
  agent.beat(7n);
  agent.beat(8n);
  expect((await agent.next("heartbeatReply")).nonce).toBe(7n);
  expect((await agent.next("heartbeatReply")).nonce).toBe(8n);
  const { job } = await jobs.getJob({ jobId: "j" });
  expect(job?.attempts[0]?.heartbeat?.nonce).toBe(8n);
  expect(job?.attempts[0]?.lastHeardTime).toBeDefined();
});

test("A stream that is silent for three intervals is ended; heartbeats keep one alive beyond them", async () => {
  const { address, jobs } = await testTracker({ heartbeatInterval: 60, lease: 400 });
  const silent = ScriptedAgent.connect({ url: address, jobId: "silent" });
  const alive = ScriptedAgent.connect({ url: address, jobId: "alive" });
  await Promise.all([silent.hello({ spec: someSpec }), alive.hello({ spec: someSpec })]);
  const beat = setInterval(() => alive.beat(1n), 40);
  expect((await silent.ended).code).not.toBe(Code.Canceled - 1);
  await waitForState(jobs, "silent", "LOST");
  clearInterval(beat);
  const { job } = await jobs.getJob({ jobId: "alive" });
  expect(job).toMatchObject({ state: JobState.SETTING_UP, attempts: [{ connected: true }] });
});

import { expect, test } from "vitest";
import { ScriptedAgent } from "../../helpers/scripted-agent.ts";
import { readLog, someSpec, testTracker } from "../../helpers/tracker.ts";

const FOLLOWERS = 1_000;
const LINES = 40;

test("A thousand followers of one job all get every byte, and the job's agent is not held up", {
  timeout: 60_000,
}, async () => {
  const { address, jobs } = await testTracker();
  const agent = new ScriptedAgent(address, "j");
  await agent.hello({ spec: someSpec });
  const followers = Array.from({ length: FOLLOWERS }, () => readLog(jobs, { jobId: "j", follow: true }));
  let printed = "";
  for (let i = 0; i < LINES; i++) {
    const text = `line ${i} ${"x".repeat(80)}\n`;
    printed += text;
    agent.print(text);
  }
  await agent.acked(0n, BigInt(LINES));
  agent.heartbeat(1n);
  expect((await agent.next("heartbeatReply")).value.nonce).toBe(1n);
  agent.result();
  await agent.next("receipt");
  const texts = await Promise.all(followers);
  expect(texts.filter((text) => text !== printed)).toEqual([]);
});

import { expect, test } from "vitest";
import { someSpec, testTracker } from "../../helpers/tracker.ts";
import { ScriptedAgent, readLog } from "../../../src/testing/index.ts";

const FOLLOWERS = 1_000;
const LINES = 40;

test("A thousand followers of one job all get every byte, and the job's agent is not delayed", {
  timeout: 60_000,
}, async () => {
  const { address, jobs } = await testTracker();
  const agent = ScriptedAgent.connect({ url: address, jobId: "j" });
  await agent.hello({ spec: someSpec });
  const followers = Array.from({ length: FOLLOWERS }, () => readLog(jobs, "j", { timeout: 60_000 }));
  let printed = "";
  for (let i = 0; i < LINES; i++) {
    const text = `line ${i} ${"x".repeat(80)}\n`;
    printed += text;
    agent.print(text);
  }
  await agent.acked(0n, BigInt(LINES));
  agent.beat(1n);
  expect((await agent.next("heartbeatReply")).nonce).toBe(1n);
  agent.result();
  await agent.next("receipt");
  const texts = await Promise.all(followers);
  expect(texts.filter((text) => text !== printed)).toEqual([]);
});

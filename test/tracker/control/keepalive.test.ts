import { once } from "node:events";
import { connect, type IncomingHttpHeaders } from "node:http2";
import { expect, onTestFinished, test, vi } from "vitest";
import { someSpec, testTracker } from "../../helpers/tracker.ts";
import { ScriptedAgent } from "../../../src/testing/index.ts";

test.each([
  ["WatchJob", { jobId: "j", afterVersion: 1 }],
  ["ReadLogs", { jobId: "j", follow: true }],
  ["ReadMetrics", { jobId: "j", follow: true }],
])("The headers of %s come at once, though there is nothing to send yet", async (method, request) => {
  const { address, jobs } = await testTracker();
  await jobs.createJob({ jobId: "j", spec: someSpec });
  const session = connect(address);
  onTestFinished(() => session.destroy());
  const headers = { "content-type": "application/connect+json", "connect-protocol-version": "1" };
  const call = session.request({ ":method": "POST", ":path": `/belay.v1.JobService/${method}`, ...headers });
  const message = Buffer.from(JSON.stringify(request));
  call.end(Buffer.concat([Buffer.from([0, 0, 0, 0, message.length]), message]));
  call.resume();
  const [answer] = (await once(call, "response")) as [IncomingHttpHeaders];
  expect(answer).toMatchObject({ ":status": 200, "content-type": "application/connect+json" });
});

test("A silent stream sends answers without content, a busy one does not", async () => {
  const { address, jobs } = await testTracker({ keepaliveInterval: 100 }, "gRPC");
  const agent = ScriptedAgent.connect({ url: address, jobId: "j" });
  await agent.hello({ spec: someSpec });
  const empty: string[] = [];
  const logs = (async () => {
    let text = "";
    for await (const { chunks, attempt, nextPosition } of jobs.readLogs({ jobId: "j", follow: true })) {
      if (chunks.length === 0) empty.push(`${attempt} ${nextPosition > 0n || text === ""}`);
      for (const { content } of chunks) if (content.case === "data") text += Buffer.from(content.value).toString();
    }
    return text;
  })();
  await vi.waitFor(() => expect(empty.length).toBeGreaterThan(2));
  agent.print("hello\n");
  const before = empty.length;
  await vi.waitFor(() => expect(empty.length).toBeGreaterThan(before + 2));
  agent.result();
  await agent.next("receipt");
  expect(await logs).toBe("hello\n");
  // Each names the attempt, and the position from which an interrupted call goes on.
  expect(new Set(empty)).toEqual(new Set(["1 true"]));
});

test("Where it is turned off, nothing is sent that is no answer", async () => {
  const { jobs } = await testTracker({ keepaliveInterval: 0 });
  await jobs.createJob({ jobId: "j", spec: someSpec });
  const answers = jobs.watchJob({ jobId: "j", afterVersion: 0n })[Symbol.asyncIterator]();
  expect((await answers.next()).value?.job?.jobId).toBe("j");
  const next = answers.next();
  await jobs.cancelJob({ jobId: "j" });
  expect((await next).value?.job?.jobId).toBe("j");
});

import { Code } from "@connectrpc/connect";
import { describe, expect, test } from "vitest";
import { JobState, LogCompleteness, LogStream } from "../../../src/gen/belay/v1/job_pb.ts";
import { GapReason } from "../../../src/gen/belay/v1/tracker_service_pb.ts";
import { ScriptedAgent, readLog, readLogBytes, waitForJob } from "../../../src/testing/index.ts";
import { someSpec, testTracker } from "../../helpers/tracker.ts";

const data = (value: Buffer) => ({ case: "data" as const, value });

async function openSession(): Promise<Awaited<ReturnType<typeof testTracker>> & { agent: ScriptedAgent }> {
  const tracker = await testTracker();
  const agent = ScriptedAgent.connect({ url: tracker.address, jobId: "j" });
  await agent.hello({ spec: someSpec });
  return { ...tracker, agent };
}

describe("The lane of logs", () => {
  test("a skipped sequence ends the stream with OUT_OF_RANGE and names the expected one", async () => {
    const { agent } = await openSession();
    agent.print("a");
    agent.batch([], 3n);
    expect(await agent.ended).toEqual({ code: Code.OutOfRange, details: "Lane of logs: expected sequence 2, found 3" });
  });

  test("a duplicate is dropped and acknowledged again", async () => {
    const { agent, jobs } = await openSession();
    agent.print("a");
    await agent.acked(0n, 1n);
    agent.batch([{ stream: LogStream.STDOUT, offset: 0n, content: data(Buffer.from("other")) }], 1n);
    await agent.acked(0n, 1n);
    agent.print("b");
    await agent.acked(0n, 2n);
    expect(await readLog(jobs, "j", { follow: false })).toBe("ab");
  });

  test("a batch over the limit ends the stream with INVALID_ARGUMENT; what came before is stored", async () => {
    const { agent, jobs } = await openSession();
    agent.print("a");
    await agent.acked(0n, 1n);
    agent.print(Buffer.alloc(5 * 1024 * 1024));
    const { code, details } = await agent.ended;
    expect(code).toBe(Code.InvalidArgument);
    expect(details).toMatch(/^Message over the limit: .*4194304/);
    expect(await readLog(jobs, "j", { follow: false })).toBe("a");
  });

  test("a message that cannot be decoded ends the stream with INVALID_ARGUMENT; what came before is stored", async () => {
    const { agent, jobs } = await openSession();
    agent.print("a");
    await agent.acked(0n, 1n);
    agent.sendBytes(Buffer.from([0x12, 0xff]));
    expect(await agent.ended).toEqual({
      code: Code.InvalidArgument,
      details: "Message cannot be decoded: premature EOF",
    });
    expect(await readLog(jobs, "j", { follow: false })).toBe("a");
  });

  test("a batch as large as the limit allows is stored", async () => {
    const { agent, jobs } = await openSession();
    const text = "x".repeat(4 * 1024 * 1024 - 100);
    agent.print(text);
    await agent.acked(0n, 1n);
    expect(await readLog(jobs, "j", { follow: false })).toBe(text);
  });

  test("a chunk that begins before the next byte ends the stream with INVALID_ARGUMENT", async () => {
    const { agent } = await openSession();
    agent.print("abc");
    agent.batch([{ stream: LogStream.STDOUT, offset: 1n, content: data(Buffer.from("x")) }]);
    expect(await agent.ended).toEqual({
      code: Code.InvalidArgument,
      details: "Log batch 2 has a chunk of stdout at offset 1: the next byte has offset 3",
    });
  });

  test("a chunk that begins after the next byte makes a gap that readers see", async () => {
    const { agent, jobs } = await openSession();
    agent.print("abc");
    agent.batch([{ stream: LogStream.STDOUT, offset: 10n, content: data(Buffer.from("x")) }]);
    await agent.acked(0n, 2n);
    const chunks = [];
    for await (const answer of jobs.readLogs({ jobId: "j" })) chunks.push(...answer.chunks);
    expect(chunks.map(({ offset, content }) => [offset, content.case])).toEqual([
      [0n, "data"],
      [3n, "gap"],
      [10n, "data"],
    ]);
    expect(chunks[1]?.content.value).toMatchObject({ bytes: 7n, reason: GapReason.UNSPECIFIED });
  });

  test("NUL, invalid UTF-8 and a line without an end come back as they were", async () => {
    const { agent, jobs } = await openSession();
    const bytes = Buffer.from(Array.from({ length: 512 }, (_, i) => i & 0xff));
    agent.print(bytes);
    await agent.acked(0n, 1n);
    expect(Buffer.from(await readLogBytes(jobs, "j", { follow: false }))).toEqual(bytes);
  });

  test("an agent that no longer holds the first records goes on behind them, and the loss shows", async () => {
    const { address, jobs } = await testTracker();
    const agent = ScriptedAgent.connect({ url: address, jobId: "j" });
    const welcome = await agent.hello({ spec: someSpec, lowestEventSequence: 5n, lowestLogSequence: 8n });
    expect(welcome.committed).toMatchObject({ events: 4n, logs: 7n });
    agent.batch([{ stream: LogStream.STDOUT, offset: 100n, content: data(Buffer.from("end\n")) }]);
    agent.result({ streams: [{ stream: LogStream.STDOUT, bytes: 104n, crc32: 0 }] });
    const value = await agent.next("receipt");
    expect(value.logCompleteness).toBe(LogCompleteness.INCOMPLETE);
    expect(value.message).toBe("stdout: 100 of 104 bytes were dropped");
    expect(await readLog(jobs, "j", { follow: false })).toBe("end\n");
  });
});

describe("The lane of events", () => {
  test("a skipped sequence ends the stream with OUT_OF_RANGE and names the expected one", async () => {
    const { agent } = await openSession();
    agent.state("RUNNING");
    agent.send({ case: "event", value: { $typeName: "belay.v1.Event", sequence: 7n, kind: { case: undefined } } });
    const { code, details } = await agent.ended;
    expect({ code, details }).toEqual({
      code: Code.OutOfRange,
      details: "Lane of events: expected sequence 2, found 7",
    });
  });

  test("a duplicate changes nothing and is acknowledged again", async () => {
    const { agent, jobs } = await openSession();
    agent.state("RUNNING");
    await agent.acked(1n, 0n);
    agent.send({
      case: "event",
      value: {
        $typeName: "belay.v1.Event",
        sequence: 1n,
        kind: {
          case: "stateChange",
          value: { $typeName: "belay.v1.StateChange", state: JobState.PAUSED, message: "" },
        },
      },
    });
    await agent.acked(1n, 0n);
    expect((await jobs.getJob({ jobId: "j" })).job?.state).toBe(JobState.RUNNING);
  });

  test("a kind that the tracker does not know is acknowledged, as is an unknown field", async () => {
    const { agent } = await openSession();
    // Event{sequence: 1, field 99: "x"}, in field 3 of the request.
    agent.sendBytes(Buffer.from([0x1a, 0x06, 0x08, 0x01, 0x9a, 0x06, 0x01, 0x78]));
    await agent.acked(1n, 0n);
    // A payload of field 77 only.
    agent.sendBytes(Buffer.from([0xea, 0x04, 0x01, 0x78]));
    agent.beat(4n);
    expect((await agent.next("heartbeatReply")).nonce).toBe(4n);
  });

  test("an ended job never changes again", async () => {
    const { agent, jobs } = await openSession();
    agent.result({ exitCode: 0 });
    agent.state("RUNNING");
    agent.result({ exitCode: 9, outcome: 2 });
    await agent.acked(3n, 0n);
    const { job } = await jobs.getJob({ jobId: "j" });
    expect(job).toMatchObject({ state: JobState.SUCCEEDED, result: { exitCode: 0 } });
  });
});

describe("The receipt", () => {
  test("comes when result and log are stored, not before, and the stream then ends with OK", async () => {
    const { agent, jobs } = await openSession();
    const log = Buffer.from("all of it\n");
    agent.print(log.subarray(0, 4));
    const before = agent.totals();
    agent.print(log.subarray(4));
    const all = agent.totals();
    expect(before).not.toEqual(all);
    agent.result({ streams: all });
    const value = await agent.next("receipt");
    expect(value).toMatchObject({ logCompleteness: LogCompleteness.COMPLETE, message: "" });
    expect(value.stored).toMatchObject(all.map(({ bytes, crc32, lines }) => ({ bytes, crc32, lines })));
    agent.halfClose();
    expect((await agent.ended).code).toBe(0);
    expect((await jobs.getJob({ jobId: "j" })).job?.attempts[0]?.logCompleteness).toBe(LogCompleteness.COMPLETE);
  });

  test("names the missing bytes when the agent has nothing more to send", async () => {
    const { agent } = await openSession();
    agent.print("abc");
    agent.result({ streams: [{ stream: LogStream.STDOUT, bytes: 9n, crc32: 0 }] });
    await agent.acked(1n, 1n);
    agent.beat(1n, { logs: 1n });
    agent.beat(2n, { logs: 1n });
    const value = await agent.next("receipt");
    expect(value).toMatchObject({
      logCompleteness: LogCompleteness.INCOMPLETE,
      message: "stdout: 3 of 9 bytes are stored",
    });
  });

  test("is decided without the agent when its lease runs out after the result", async () => {
    const { address, jobs } = await testTracker({ heartbeatInterval: 100, lease: 300 });
    const agent = ScriptedAgent.connect({ url: address, jobId: "j" });
    await agent.hello({ spec: someSpec });
    agent.result({ streams: [{ stream: LogStream.STDOUT, bytes: 9n, crc32: 0 }] });
    await agent.acked(1n, 0n);
    agent.vanish();
    const job = await waitForJob(jobs, "j", ({ attempts }) => attempts[0]?.logMessage !== "");
    expect(job.attempts[0]).toMatchObject({
      logCompleteness: LogCompleteness.INCOMPLETE,
      logMessage: "stdout: 0 of 9 bytes are stored",
    });
  });
});

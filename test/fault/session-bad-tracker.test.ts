import { create } from "@bufbuild/protobuf";
import { describe, expect, onTestFinished, test } from "vitest";
import { EndReason, LogStream } from "../../src/gen/belay/v1/job_pb.ts";
import { CommandSchema, GoodbyeReason, GoodbyeSchema } from "../../src/gen/belay/v1/tracker_service_pb.ts";
import { isAlive } from "../helpers/processes.ts";
import { ScriptedTracker } from "../helpers/scripted-tracker.ts";
import type { ScriptedStream } from "../helpers/scripted-tracker.ts";
import { someAgent, until } from "./an-agent.ts";
import { someSession } from "./a-session.ts";
import { badCall, onceWelcomed } from "./bad-server.ts";

async function badTracker(): Promise<ScriptedTracker> {
  const tracker = await ScriptedTracker.start();
  onTestFinished(() => tracker.close());
  return tracker;
}

async function welcomed(tracker: ScriptedTracker, interval = 10_000): Promise<ScriptedStream> {
  const stream = await tracker.stream();
  stream.welcome({ interval });
  return stream;
}

describe("A tracker that", () => {
  test("is slow to send Welcome is waited for", async () => {
    const tracker = await badTracker();
    const { session, events } = someSession(tracker.url);
    void session.run();
    const stream = await tracker.stream();
    await stream.next("hello");
    await new Promise((resolve) => setTimeout(resolve, 1500));
    expect(session.state.kind).toBe("greeting");
    stream.welcome();
    expect(await events.next()).toBe("connected");
  });

  test("never sends Welcome is given up after ten seconds", async () => {
    const tracker = await badTracker();
    const { session, events } = someSession(tracker.url);
    const begin = performance.now();
    void session.run();
    const silentStream = await tracker.stream();
    expect(await events.next()).toMatch(/^lost: The tracker did not welcome the agent within 10/);
    const noticed = performance.now() - begin;
    await silentStream.over;
    await welcomed(tracker);
    expect(await events.next()).toBe("connected");
    expect(noticed).toBeGreaterThanOrEqual(9_900);
  });

  test("never acknowledges does not make the agent use more memory; the job waits", async () => {
    const tracker = await badTracker();
    const agent = someAgent(tracker.url, "head -c 200000000 /dev/zero; echo done", { spoolLimit: 4 << 20 });
    const stream = await welcomed(tracker, 100);
    let spooled = 0n;
    let sent = 0;
    for (let heartbeats = 0; heartbeats < 20; heartbeats++) {
      const beat = await stream.next("heartbeat");
      spooled = beat.spoolMemoryBytes + beat.spoolDiskBytes;
      stream.ack(0n, 0n);
    }
    for (const payload of stream.received) {
      if (payload.case === "logBatch")
        for (const { content } of payload.value.chunks) sent += content.case === "data" ? content.value.length : 0;
    }
    expect(Number(spooled)).toBeLessThan(6 << 20);
    expect(sent).toBeLessThan(5 << 20);
    expect(agent.output().length).toBeLessThan(16 << 20);
    // An agent that is asked to stop does not wait for ever for room in its spool.
    agent.stop();
    expect(await agent.outcome).toMatchObject({ delivered: false, result: { reason: EndReason.AGENT_STOPPED } });
  });

  test("takes a job away from an agent whose spool is full has its job killed anyway", async () => {
    const tracker = await badTracker();
    const agent = someAgent(tracker.url, "echo $$; exec cat /dev/zero", { spoolLimit: 4 << 20 });
    const stream = await welcomed(tracker, 100);
    for (let heartbeats = 0; heartbeats < 5; heartbeats++) {
      await stream.next("heartbeat");
      stream.ack(0n, 0n);
    }
    const value = create(GoodbyeSchema, { reason: GoodbyeReason.SUPERSEDED, message: "attempt 2 runs" });
    stream.send({ case: "goodbye", value });
    stream.end();
    await expect(agent.outcome).rejects.toMatchObject({ code: "SUPERSEDED" });
    expect(isAlive(Number(agent.output().split("\n", 1)[0]))).toBe(false);
  });

  test("acknowledges more records than were sent does not confuse the agent", async () => {
    const tracker = await badTracker();
    const { session, report, events } = someSession(tracker.url);
    void session.run();
    const stream = await welcomed(tracker);
    expect(await events.next()).toBe("connected");
    stream.ack(1_000_000n, 1_000_000n);
    report.log(LogStream.STDOUT, 1, Buffer.from("after\n"), 1n);
    const batch = await stream.next("logBatch");
    expect(batch.sequence).toBe(1n);
    expect(session.state.kind).toBe("open");
  });

  test("acknowledges less than before does not confuse the agent", async () => {
    const tracker = await badTracker();
    const { session, report, events } = someSession(tracker.url);
    void session.run();
    const stream = await welcomed(tracker);
    expect(await events.next()).toBe("connected");
    for (const text of ["a", "b", "c"]) report.state(3, text);
    for (let i = 0; i < 3; i++) await stream.next("event");
    stream.ack(3n, 0n);
    stream.ack(1n, 0n);
    report.state(3, "d");
    expect((await stream.next("event")).sequence).toBe(4n);
    stream.send({ case: "command", value: create(CommandSchema, { commandId: "after" }) });
    expect(await events.next()).toBe("command after");
    expect(report.spool.committed("events")).toBe(3);
  });

  test("sends unknown fields, messages and commands has them ignored", async () => {
    const good = await badTracker();
    void good.serve();
    const heartbeatSeen = Promise.withResolvers<void>();
    const server = await badCall(
      good.url,
      onceWelcomed((stream) => {
        // Field 99 of the response, varint 1: a payload of a later version.
        stream.write(Buffer.from([0, 0, 0, 0, 3, 0x98, 0x06, 0x01]));
        stream.write(Buffer.from([0, 0, 0, 0, 0]));
        // An Ack (field 2) of two bytes with an unknown field 15.
        stream.write(Buffer.from([0, 0, 0, 0, 4, 0x12, 0x02, 0x78, 0x01]));
        stream.once("data", () => heartbeatSeen.resolve());
      }, 30),
    );
    const { session, events } = someSession(server.url);
    void session.run();
    await heartbeatSeen.promise;
    expect(await events.next()).toBe("connected");
    expect(session.state.kind).toBe("open");
  });

  test("sends a command of an unknown kind gets REJECTED", async () => {
    const tracker = await badTracker();
    const agent = someAgent(tracker.url, "echo ready; exec sleep 1000");
    const stream = await welcomed(tracker);
    await agent.prints("ready");
    stream.send({ case: "command", value: create(CommandSchema, { commandId: "c1" }) });
    for (;;) {
      const { kind } = await stream.next("event");
      if (kind.case !== "commandUpdate" || kind.value.state === 2) continue;
      expect(kind.value).toMatchObject({ commandId: "c1", message: "This agent does not know this command" });
      break;
    }
    agent.stop();
  });

  test("floods the agent with commands gets each of them answered once", async () => {
    const tracker = await badTracker();
    const agent = someAgent(tracker.url, "trap : USR1; echo ready; while :; do sleep 0.1; done");
    const stream = await welcomed(tracker, 2000);
    await agent.prints("ready");
    const before = process.memoryUsage().heapUsed;
    for (let i = 0; i < 2000; i++) {
      const order = { case: "signal", value: { $typeName: "belay.v1.Signal", name: "SIGUSR1" } } as const;
      // Each of 1000 ids comes twice.
      stream.send({ case: "command", value: create(CommandSchema, { commandId: `c${i >> 1}`, order }) });
    }
    const answers = new Map<string, number>();
    while (answers.size < 1000) {
      const { kind, sequence } = await stream.next("event");
      // Signals to a process tree take time: without this message, the agent would rightly give up a silent tracker.
      stream.ack(sequence, 0n);
      if (kind.case !== "commandUpdate" || kind.value.state < 3) continue;
      answers.set(kind.value.commandId, (answers.get(kind.value.commandId) ?? 0) + 1);
    }
    expect([...answers.values()].every((count) => count === 1)).toBe(true);
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(200_000_000);
    await stream.next("heartbeat");
    agent.stop();
  });

  test("ends each stream cleanly gets new ones at a bounded rate, and the job goes on", async () => {
    const tracker = await badTracker();
    const agent = someAgent(tracker.url, "echo ready; exec sleep 1000");
    const begin = performance.now();
    for (let i = 0; i < 10; i++) {
      const stream = await welcomed(tracker);
      await stream.next("heartbeat");
      stream.end();
    }
    const stream = await welcomed(tracker);
    await stream.next("heartbeat");
    const each = (performance.now() - begin) / 10;
    await until(agent.progress, /^connected again/);
    // Back-off adds at most a second, half a second on average.
    expect(each).toBeLessThan(2000);
    expect(each).toBeGreaterThan(20);
    agent.stop();
  });

  test("reads nothing is given up when it is silent, and its data are discarded", async () => {
    const tracker = await badTracker();
    const { session, report, events } = someSession(tracker.url);
    void session.run();
    const stream = await welcomed(tracker, 100);
    expect(await events.next()).toBe("connected");
    stream.pause();
    for (let i = 0; i < 64; i++) report.log(LogStream.STDOUT, 1, Buffer.alloc(65_536), 1n);
    expect(await events.next()).toMatch(/^lost: Nothing came from the tracker/);
    const next = await welcomed(tracker);
    expect((await next.next("logBatch")).sequence).toBe(1n);
  });

  test("gives senseless heartbeat intervals does no harm", async () => {
    const tracker = await badTracker();
    const { session, events } = someSession(tracker.url);
    void session.run();
    const stream = await welcomed(tracker, 0.001);
    expect(await events.next()).toBe("connected");
    stream.ack(0n, 0n);
    await stream.next("heartbeat");
    expect(session.state.kind).toBe("open");
  });
});

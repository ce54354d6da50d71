import { create } from "@bufbuild/protobuf";
import { status } from "@grpc/grpc-js";
import { afterEach, describe, expect, test, vi } from "vitest";
import { Report } from "../../../src/agent/report/report.ts";
import { Mask } from "../../../src/agent/report/redact/mask.ts";
import { Session } from "../../../src/agent/session/session.ts";
import { SESSION_TIMING } from "../../../src/agent/session/session-timing.ts";
import { Stream } from "../../../src/agent/session/stream.ts";
import type { SessionHandlers } from "../../../src/agent/session/session-options.ts";
import { type Clock, systemClock } from "../../../src/base/clock.ts";
import { parseTrackerAddresses } from "../../../src/base/network/tracker-address.ts";
import { FEATURES } from "../../../src/contract/features.ts";
import { silentLogger } from "../../../src/base/logger.ts";
import {
  AgentInfoSchema,
  type Heartbeat,
  JobResultSchema,
  JobSpecSchema,
  JobState,
  LogStream,
  Outcome,
} from "../../../src/gen/belay/v1/job_pb.ts";
import {
  AckSchema,
  CommandSchema,
  GoodbyeReason,
  GoodbyeSchema,
  HeartbeatReplySchema,
} from "../../../src/gen/belay/v1/tracker_service_pb.ts";
import { ManualClock } from "../../helpers/manual-clock.ts";
import { Queue } from "../../helpers/queue.ts";
import { ScriptedTracker } from "../../helpers/scripted-tracker.ts";

const cleanUps: (() => void)[] = [];
afterEach(() => {
  for (const cleanUp of cleanUps.splice(0)) cleanUp();
});

interface SetUp {
  tracker: ScriptedTracker;
  session: Session;
  report: Report;
  events: Queue<string>;
}

interface SessionSetUp {
  connectTimeout?: number;
  address?: string;
  clock?: Clock;
  startsIn?: number;
  takeOver?: boolean;
  /** Of the session's timing. */
  poll?: number;
}

async function setUp(options: SessionSetUp = {}): Promise<SetUp> {
  const { clock = systemClock } = options;
  const tracker = await ScriptedTracker.start();
  const report = new Report(clock, new Mask());
  const events = new Queue<string>();
  const handlers: SessionHandlers = {
    jobState: () => JobState.RUNNING,
    command: (command) => events.push(`command ${command.commandId}`),
    connected: (_, first) => events.push(first ? "connected" : "connected again"),
    lost: (why) => events.push(`lost: ${why}`),
    postponed: (why) => events.push(`postponed: ${why}`),
    fenced: (message) => events.push(`fenced: ${message}`),
  };
  const { startsIn, takeOver = false, poll = SESSION_TIMING.poll } = options;
  const session = new Session(
    {
      identity: {
        sessionId: "s1",
        jobId: "j1",
        agent: create(AgentInfoSchema, { version: "test" }),
        spec: create(JobSpecSchema, { command: ["true"] }),
        takeOver,
      },
      addresses: parseTrackerAddresses(options.address ?? tracker.url),
      security: {},
      startsIn,
      connectTimeout: options.connectTimeout ?? 10_000,
      spool: report.spool,
      clock,
      logger: silentLogger,
      handlers,
    },
    { ...SESSION_TIMING, poll },
  );
  cleanUps.push(() => {
    session.close("The test is over");
    tracker.close();
  });
  return { tracker, session, report, events };
}

const line = (text: string): Buffer => Buffer.from(`${text}\n`);

const waits = 'Attempt 2 of job "j1" may not start yet';

describe("an agent whose attempt may not start yet", () => {
  test("comes again after just the time that the tracker names, and says so once", async () => {
    const { tracker, session, events } = await setUp();
    void session.run();
    for (const delay of ["300", "200"]) {
      const begin = performance.now();
      (await tracker.stream()).fail(status.UNAVAILABLE, waits, { "belay-retry-delay-ms": delay });
      const stream = await tracker.stream();
      expect(performance.now() - begin).toBeGreaterThanOrEqual(Number(delay) - 1);
      stream.fail(status.UNAVAILABLE, waits, { "belay-retry-delay-ms": "1" });
    }
    (await tracker.stream()).welcome({ attempt: 2 });
    await session.admitted;
    expect(await events.next()).toBe(`postponed: ${waits}`);
    expect(await events.next()).toBe("connected");
  });

  test("gives up at once where the connect timeout would be over before", async () => {
    const { tracker, session } = await setUp({ connectTimeout: 30_000 });
    void session.run();
    (await tracker.stream()).fail(status.UNAVAILABLE, waits, { "belay-retry-delay-ms": "60000" });
    await expect(session.admitted).rejects.toMatchObject({
      code: "JOB_WAITS",
      message: `Nothing was run: ${waits}, beyond the connect timeout of 30.0s`,
    });
  });

  test("does not count the time of the policy if it knows of it; it asks now and then, so that it notices a cancel", async () => {
    const { tracker, session } = await setUp({ connectTimeout: 200, startsIn: 0, poll: 100 });
    const ended = session.run();
    for (let i = 0; i < 4; i++) {
      (await tracker.stream()).fail(status.UNAVAILABLE, waits, { "belay-retry-delay-ms": "3600000" });
    }
    const canceled = { "belay-job-state": "CANCELED" };
    (await tracker.stream()).fail(status.FAILED_PRECONDITION, "It has ended", canceled);
    expect(await ended).toMatchObject({ kind: "refused", error: { jobState: JobState.CANCELED } });
  });

  test("and that knows so dials no earlier, nor gives up meanwhile", async () => {
    const { tracker, session } = await setUp({ connectTimeout: 200, startsIn: 300 });
    const begin = performance.now();
    void session.run();
    expect(session.state.kind).toBe("waiting");
    (await tracker.stream()).welcome({ attempt: 2 });
    expect(performance.now() - begin).toBeGreaterThanOrEqual(299);
    await session.admitted;
  });

  test("dials at once when it has something new to say", async () => {
    const { tracker, session } = await setUp({ startsIn: 3_600_000, poll: 3_600_000 });
    void session.run();
    session.dialNow();
    const early = await tracker.stream();
    session.dialNow();
    early.fail(status.UNAVAILABLE, waits, { "belay-retry-delay-ms": "3600000" });
    (await tracker.stream()).welcome({ attempt: 2 });
    await session.admitted;
  });
});

test("an agent says what it can do on each stream, and that it takes over until it is admitted", async () => {
  const { tracker, session } = await setUp({ takeOver: true });
  void session.run();
  const first = await tracker.stream();
  const hello = await first.next("hello");
  expect(hello).toMatchObject({ takeOver: true, features: FEATURES });
  first.welcome({ attempt: 2 });
  await session.admitted;
  first.end();
  expect(await (await tracker.stream()).next("hello")).toMatchObject({ takeOver: false, features: FEATURES });
});

describe("an agent joins", () => {
  test("with Hello, is welcomed, and heartbeats at once and at the tracker's interval", async () => {
    const { tracker, session } = await setUp();
    void session.run();
    const stream = await tracker.stream();
    const hello = await stream.next("hello");
    expect(hello).toMatchObject({ sessionId: "s1", jobId: "j1", attempt: 0, state: JobState.RUNNING });
    expect(hello.spec?.command).toEqual(["true"]);
    stream.welcome({ attempt: 3, interval: 30 });
    expect((await session.admitted).attempt).toBe(3);
    const beats: Heartbeat[] = [];
    while (beats.length < 3) {
      beats.push(await stream.next("heartbeat"));
      // A tracker that is silent for three intervals is given up, and on a slow machine that is before the third one.
      stream.send({ case: "heartbeatReply", value: create(HeartbeatReplySchema) });
    }
    expect(beats.map((beat) => beat.nonce)).toEqual([1n, 2n, 3n]);
    expect(beats[0]?.agentMemoryBytes).toBeGreaterThan(1_000_000n);
  });

  test.each([
    [status.INVALID_ARGUMENT, "TRACKER_REFUSED"],
    [status.NOT_FOUND, "NOT_FOUND"],
    [status.FAILED_PRECONDITION, "TRACKER_REFUSED"],
    [status.UNAUTHENTICATED, "TRACKER_REFUSED"],
    [status.PERMISSION_DENIED, "TRACKER_REFUSED"],
    [status.UNIMPLEMENTED, "TRACKER_REFUSED"],
  ])("and gives up at once on status %i, with code %s", async (code, expected) => {
    const { tracker, session } = await setUp();
    const ended = session.run();
    (await tracker.stream()).fail(code, "because");
    await expect(session.admitted).rejects.toMatchObject({
      code: expected,
      message: expect.stringContaining("because"),
    });
    expect((await ended).kind).toBe("refused");
  });

  test.each([status.UNAVAILABLE, status.INTERNAL, status.UNKNOWN, status.RESOURCE_EXHAUSTED, status.ALREADY_EXISTS])(
    "and tries again on status %i",
    async (code) => {
      const { tracker, session } = await setUp();
      void session.run();
      (await tracker.stream()).fail(code, "not now");
      (await tracker.stream()).welcome();
      await session.admitted;
      expect(session.state.kind).toBe("open");
    },
  );

  test("and reports within the connect timeout that no tracker answered", async () => {
    const { session } = await setUp({ connectTimeout: 300, address: "http://127.0.0.1:1" });
    const ended = session.run();
    await expect(session.admitted).rejects.toMatchObject({
      code: "TRACKER_UNREACHABLE",
      message: 'No tracker answered at "http://127.0.0.1:1" within 300ms: connect ECONNREFUSED 127.0.0.1:1',
    });
    expect((await ended).kind).toBe("unreachable");
  });

  test("and reports which session has the job when it stays taken", async () => {
    const { tracker, session } = await setUp({ connectTimeout: 300 });
    const ended = session.run();
    (await tracker.stream()).fail(status.ALREADY_EXISTS, "session s0 has it");
    await ended;
    await expect(session.admitted).rejects.toMatchObject({
      code: "JOB_TAKEN",
      message: expect.stringContaining("session s0 has it"),
    });
  });

  test("at the next address when the first does not answer", async () => {
    const second = await ScriptedTracker.start();
    cleanUps.push(() => second.close());
    const { session } = await setUp({ address: `http://127.0.0.1:1,${second.url}` });
    void session.run();
    (await second.stream()).welcome();
    await session.admitted;
  });
});

describe("records", () => {
  test("reach the tracker in order, each lane with its own numbers", async () => {
    const { tracker, session, report } = await setUp();
    void session.run();
    const stream = await tracker.stream();
    stream.welcome();
    await session.admitted;
    report.state(JobState.RUNNING, "one");
    report.log(LogStream.STDOUT, 1, line("a"), 1n);
    report.state(JobState.PAUSED, "two");
    const events = [await stream.next("event"), await stream.next("event")];
    expect(events.map((event) => event.sequence)).toEqual([1n, 2n]);
    expect(await stream.next("logBatch")).toMatchObject({ sequence: 1n });
  });

  test("are not sent before their producer has done what was urgent", async () => {
    const { tracker, session, report } = await setUp();
    void session.run();
    const stream = await tracker.stream();
    stream.welcome();
    await session.admitted;
    const read = vi.spyOn(report.spool, "read");
    report.state(JobState.RUNNING, "one");
    report.log(LogStream.STDOUT, 1, line("a"), 1n);
    expect(read).not.toHaveBeenCalled();
    await stream.next("logBatch");
    expect(read).toHaveBeenCalled();
  });

  test("are sent again from the first that Welcome does not confirm, the same bytes under the same numbers", async () => {
    const { tracker, session, report, events } = await setUp();
    void session.run();
    const first = await tracker.stream();
    first.welcome();
    await session.admitted;
    for (const name of ["one", "two", "three"]) report.state(JobState.RUNNING, name);
    await first.next("event");
    await first.next("event");
    await first.next("event");
    first.ack(1n, 0n);
    first.end();
    const second = await tracker.stream();
    expect(await second.next("hello")).toMatchObject({ attempt: 1, lowestEventSequence: 2n });
    second.welcome({ committed: create(AckSchema, { events: 2n }) });
    expect(await second.next("event")).toMatchObject({ sequence: 3n, kind: { value: { message: "three" } } });
    expect(await events.next()).toBe("connected");
    expect(await events.next()).toBe("lost: The tracker ended the stream");
    expect(await events.next()).toBe("connected again");
  });

  test("events and heartbeats overtake logs that wait", async () => {
    const { tracker, session, report } = await setUp();
    for (let i = 0; i < 60; i++) report.log(LogStream.STDOUT, 1, Buffer.alloc(65_536), 1n);
    void session.run();
    const stream = await tracker.stream();
    stream.welcome();
    await session.admitted;
    await stream.next("logBatch");
    report.state(JobState.CANCELING, "now");
    await stream.next("event");
    const logs = stream.received.filter((payload) => payload.case === "logBatch").length;
    // Nothing is acknowledged, so the window of 256 KiB is all that may be ahead.
    expect(logs).toBeLessThanOrEqual(5);
  });

  test("are lost when the tracker's data was rolled back behind what it had confirmed", async () => {
    const { tracker, session, report, events } = await setUp();
    void session.run();
    const first = await tracker.stream();
    first.welcome();
    await session.admitted;
    report.state(JobState.RUNNING, "one");
    await first.next("event");
    first.ack(1n, 0n);
    report.state(JobState.RUNNING, "two");
    await first.next("event");
    first.end();
    (await tracker.stream()).welcome();
    await events.next();
    await events.next();
    expect(await events.next()).toBe(
      "lost: The tracker has events up to 0, but had confirmed them up to 1: its data was rolled back (restored from a backup?)",
    );
  });
});

describe("a stream is ended", () => {
  test("when nothing comes for three heartbeat intervals", async () => {
    const { tracker, session, events } = await setUp();
    void session.run();
    const stream = await tracker.stream();
    stream.welcome({ interval: 30 });
    await session.admitted;
    await events.next();
    const started = performance.now();
    expect(await events.next()).toMatch(/^lost: Nothing came from the tracker for /);
    expect(performance.now() - started).toBeGreaterThan(60);
    await stream.over;
    expect((await (await tracker.stream()).next("hello")).attempt).toBe(1);
  });

  test("but not while any message comes", async () => {
    const { tracker, session } = await setUp();
    void session.run();
    const stream = await tracker.stream();
    stream.welcome({ interval: 30 });
    for (let beats = 0; beats < 10; beats++) {
      await stream.next("heartbeat");
      stream.ack(0n, 0n);
    }
    expect(session.state.kind).toBe("open");
  });

  test("when its first message is not Welcome", async () => {
    const { tracker, session } = await setUp();
    void session.run();
    const stream = await tracker.stream();
    stream.ack(0n, 0n);
    await stream.over;
    (await tracker.stream()).welcome();
    await session.admitted;
  });
});

describe("commands", () => {
  test("are passed on, from the stream and from a later Welcome", async () => {
    const { tracker, session, events } = await setUp();
    void session.run();
    const first = await tracker.stream();
    first.welcome();
    await session.admitted;
    first.send({ case: "command", value: create(CommandSchema, { commandId: "c1" }) });
    expect([await events.next(), await events.next()]).toEqual(["connected", "command c1"]);
    first.end();
    await events.next();
    (await tracker.stream()).welcome({ commands: [create(CommandSchema, { commandId: "c2" })] });
    expect([await events.next(), await events.next()]).toEqual(["connected again", "command c2"]);
  });
});

describe("a fenced agent", () => {
  test("learns that from Goodbye SUPERSEDED, and does not dial again", async () => {
    const { tracker, session, events } = await setUp();
    const ended = session.run();
    const stream = await tracker.stream();
    stream.welcome();
    await session.admitted;
    const value = create(GoodbyeSchema, { reason: GoodbyeReason.SUPERSEDED, message: "attempt 2 runs" });
    stream.send({ case: "goodbye", value });
    stream.end();
    expect((await ended).kind).toBe("fenced");
    expect([await events.next(), await events.next()]).toEqual([
      "connected",
      `fenced: Job "j1" is no longer this agent's: attempt 2 runs`,
    ]);
  });

  test("learns that from FAILED_PRECONDITION when it dials again", async () => {
    const { tracker, session } = await setUp();
    const ended = session.run();
    const first = await tracker.stream();
    first.welcome();
    await session.admitted;
    first.end();
    (await tracker.stream()).fail(status.FAILED_PRECONDITION, "superseded by attempt 2");
    expect(await ended).toMatchObject({ kind: "fenced", error: { code: "SUPERSEDED" } });
  });
});

describe("at the end", () => {
  test("the session half-closes after the receipt, and has delivered", async () => {
    const { tracker, session, report } = await setUp();
    const ended = session.run();
    const stream = await tracker.stream();
    stream.welcome();
    stream.behave();
    await session.admitted;
    report.log(LogStream.STDOUT, 1, line("last"), 1n);
    report.result(create(JobResultSchema, { outcome: Outcome.SUCCEEDED }));
    session.finish();
    expect(await ended).toMatchObject({ kind: "delivered", receipt: { message: "" } });
    const result = stream.received.findLast((payload) => payload.case === "event")?.value.kind;
    expect(result?.case === "result" && result.value.streams[0]).toMatchObject({ bytes: 5n, lines: 1n });
  });

  test("a tracker that confirms everything but sends no receipt is not waited for beyond five seconds", async () => {
    const clock = new ManualClock();
    const { tracker, session, report } = await setUp({ clock });
    const ended = session.run();
    const stream = await tracker.stream();
    stream.welcome();
    await session.admitted;
    report.result(create(JobResultSchema, { outcome: Outcome.SUCCEEDED }));
    session.finish();
    await stream.next("event");
    stream.ack(1n, 0n);
    await vi.waitFor(() => expect(report.spool.lowestHeld("events")).toBe(0));
    const halfClosed = vi.spyOn(Stream.prototype, "halfClose");
    clock.advance(SESSION_TIMING.receipt - 1);
    expect(halfClosed).not.toHaveBeenCalled();
    clock.advance(1);
    expect(halfClosed).toHaveBeenCalled();
    halfClosed.mockRestore();
    stream.end();
    expect(await ended).toEqual({ kind: "delivered", receipt: undefined });
  });

  test("a stream that is lost before the receipt is followed by another", async () => {
    const { tracker, session, report } = await setUp();
    const ended = session.run();
    const first = await tracker.stream();
    first.welcome();
    await session.admitted;
    report.result(create(JobResultSchema, { outcome: Outcome.SUCCEEDED }));
    session.finish();
    await first.next("event");
    first.ack(1n, 0n);
    first.end();
    const second = await tracker.stream();
    second.welcome({ committed: create(AckSchema, { events: 1n }) });
    second.receipt();
    expect((await ended).kind).toBe("delivered");
  });

  test("closing abandons what is not delivered, and reports that", async () => {
    const { tracker, session, report } = await setUp();
    const ended = session.run();
    (await tracker.stream()).welcome();
    await session.admitted;
    report.result(create(JobResultSchema, { outcome: Outcome.SUCCEEDED }));
    session.finish();
    session.close("No time left");
    expect(await ended).toEqual({ kind: "abandoned", why: "No time left" });
    expect(report.spool.lowestHeld("events")).toBe(1);
  });
});

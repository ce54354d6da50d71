import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { Client, status } from "@grpc/grpc-js";
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import type { AgentOptions, AgentOutcome, StopReason } from "../../src/agent/options.ts";
import { runAgent } from "../../src/agent/run.ts";
import {
  CommandState,
  EndReason,
  FailureClass,
  JobSpecSchema,
  JobState,
  LogStream,
  Outcome,
} from "../../src/gen/belay/v1/job_pb.ts";
import { type Command, CommandSchema } from "../../src/gen/belay/v1/tracker_service_pb.ts";
import { type ScriptedStream, ScriptedTracker } from "../helpers/scripted-tracker.ts";

let tracker: ScriptedTracker;
beforeEach(async () => {
  tracker = await ScriptedTracker.start();
});
afterEach(() => tracker.close());

function agent(command: string[], options: Partial<AgentOptions> & { setup?: string[] } = {}): Promise<AgentOutcome> {
  const { setup = [], ...rest } = options;
  const spec = create(JobSpecSchema, {
    command,
    setup: setup.map((run) => ({ run })),
    metricsInterval: durationFromMs(0),
  });
  return runAgent({ tracker: tracker.url, jobId: "j1", spec, connectTimeout: 5000, flushTimeout: 5000, ...rest });
}

async function welcomed(): Promise<ScriptedStream> {
  const stream = await tracker.stream();
  stream.welcome();
  stream.behave();
  return stream;
}

test("A transport has ten seconds to come up", async () => {
  const waits = vi.spyOn(Client.prototype, "waitForReady");
  onTestFinished(() => waits.mockRestore());
  const begin = Date.now();
  const outcome = agent(["true"]);
  await welcomed();
  await outcome;
  const [[deadline] = []] = waits.mock.calls;
  expect(deadline).toBeGreaterThanOrEqual(begin + 10_000);
  expect(deadline).toBeLessThanOrEqual(Date.now() + 10_000);
});

function outputOf(streams: ScriptedStream[], wanted: LogStream): string {
  const pieces = new Map<bigint, Uint8Array>();
  for (const payload of streams.flatMap((stream) => stream.received)) {
    if (payload.case !== "logBatch") continue;
    for (const chunk of payload.value.chunks) {
      if (chunk.stream === wanted && chunk.content.case === "data") pieces.set(chunk.offset, chunk.content.value);
    }
  }
  return Buffer.concat([...pieces].toSorted(([a], [b]) => Number(a - b)).map(([, data]) => data)).toString();
}

function eventsOf(stream: ScriptedStream): string[] {
  return stream.received.flatMap((payload) => (payload.case === "event" ? [payload.value.kind.case ?? ""] : []));
}

async function until<T>(read: () => Promise<T>, wanted: (value: T) => boolean): Promise<T> {
  for (;;) {
    const value = await read();
    if (wanted(value)) return value;
  }
}

describe("an agent runs its job", () => {
  test("setup first, then the command, and reports each", async () => {
    const outcome = agent(["echo", "main"], { setup: ["echo one", "echo two >&2"] });
    const stream = await welcomed();
    expect(await outcome).toMatchObject({
      attempt: 1,
      delivered: true,
      undelivered: "",
      result: { outcome: Outcome.SUCCEEDED, reason: EndReason.EXITED, exitCode: 0, step: 3 },
    });
    expect(outputOf([stream], LogStream.STDOUT)).toBe("one\nmain\n");
    expect(outputOf([stream], LogStream.STDERR)).toBe("two\n");
    expect(eventsOf(stream).filter((kind) => kind.startsWith("step"))).toEqual([
      "stepStarted",
      "stepEnded",
      "stepStarted",
      "stepEnded",
      "stepStarted",
      "stepEnded",
    ]);
  });

  test("and reports what each step uses at its start and its end, even if there is no interval for samples", async () => {
    const outcome = agent(["sleep", "0.1"], { setup: ["sleep 0.1"] });
    const stream = await welcomed();
    const { result } = await outcome;
    const samples = stream.received.flatMap(({ case: kind, value }) =>
      kind === "event" && value.kind.case === "metricSample" ? [value.kind.value] : [],
    );
    expect(samples.map(({ step }) => step)).toEqual([1, 1, 2, 2]);
    expect(samples.every(({ cpuLimitCores, memoryBytes }) => cpuLimitCores > 0 && memoryBytes >= 0n)).toBe(true);
    expect(result.usage?.cpuSeconds).toBeGreaterThanOrEqual(samples[3]?.cpuSeconds ?? Number.NaN);
  });

  test("nothing before the tracker has welcomed it", async () => {
    const stop = new AbortController();
    const outcome = agent(["echo", "main"], { stop: stop.signal });
    const stream = await tracker.stream();
    await stream.next("hello");
    stop.abort();
    await expect(outcome).rejects.toMatchObject({ code: "STOPPED" });
    expect(stream.received.map((payload) => payload.case)).toEqual(["hello"]);
  });

  test("from the tracker's spec when it has no spec of its own", async () => {
    const outcome = runAgent({ tracker: tracker.url, jobId: "j1" });
    const stream = await tracker.stream();
    expect((await stream.next("hello")).spec).toBeUndefined();
    stream.welcome({ spec: create(JobSpecSchema, { command: ["sh", "-c", "exit 3"] }) });
    stream.behave();
    expect((await outcome).result).toMatchObject({ outcome: Outcome.FAILED, exitCode: 3 });
  });

  test("and never from the tracker's spec when it has one of its own", async () => {
    const outcome = agent(["echo", "mine"]);
    const stream = await tracker.stream();
    stream.welcome({ spec: create(JobSpecSchema, { command: ["echo", "yours"] }) });
    stream.behave();
    await outcome;
    expect(outputOf([stream], LogStream.STDOUT)).toBe("mine\n");
  });

  test("and passes its output on", async () => {
    const passed: string[] = [];
    const outcome = agent(["sh", "-c", "echo out; echo err >&2"], {
      onOutput: (stream, data) => void passed.push(`${stream}:${Buffer.from(data).toString()}`),
    });
    await welcomed();
    await outcome;
    expect(passed.toSorted()).toEqual(["stderr:err\n", "stdout:out\n"]);
  });
});

describe("commands", () => {
  const cancel = (commandId: string): Command => {
    const order = { case: "cancel", value: { $typeName: "belay.v1.Cancel", reason: "enough" } } as const;
    return create(CommandSchema, { commandId, order });
  };

  test("cancel ends the job, and is completed after the result", async () => {
    const outcome = agent(["sleep", "1000"]);
    const stream = await welcomed();
    await until(
      () => stream.next("event"),
      (event) => event.kind.case === "stepStarted",
    );
    stream.send({ case: "command", value: cancel("c1") });
    expect((await outcome).result).toMatchObject({
      outcome: Outcome.CANCELED,
      reason: EndReason.CANCELED,
      signal: "SIGTERM",
      evidence: { commandId: "c1", survivors: [] },
    });
    const tail = eventsOf(stream).slice(-2);
    expect(tail).toEqual(["result", "commandUpdate"]);
  });

  test("a cancel that waits in the first Welcome means that nothing is run", async () => {
    const outcome = agent(["echo", "never"]);
    const stream = await tracker.stream();
    stream.welcome({ commands: [cancel("c1")] });
    stream.behave();
    expect((await outcome).result.outcome).toBe(Outcome.CANCELED);
    expect(outputOf([stream], LogStream.STDOUT)).toBe("");
  });

  test("status is answered by the agent, live", async () => {
    const outcome = agent(["sleep", "1000"]);
    const stream = await welcomed();
    const started = await until(
      () => stream.next("event"),
      (event) => event.kind.case === "stepStarted",
    );
    const order = { case: "status", value: { $typeName: "belay.v1.Status" } } as const;
    stream.send({ case: "command", value: create(CommandSchema, { commandId: "c1", order }) });
    const answer = await until(
      () => stream.next("event"),
      ({ kind }) => kind.case === "commandUpdate" && kind.value.state === CommandState.COMPLETED,
    );
    const report = answer.kind.case === "commandUpdate" ? answer.kind.value.status : undefined;
    const pid = started.kind.case === "stepStarted" ? started.kind.value.pid : 0;
    expect(report).toMatchObject({ state: JobState.RUNNING, step: 1, pid, processCount: 1 });
    expect(report?.processes[0]?.command).toBe("sleep 1000");
    stream.send({ case: "command", value: cancel("c2") });
    await outcome;
  });
});

describe("an agent whose stream is lost", () => {
  test("continues where the tracker asks it to; no byte is lost, or sent again under another number", async () => {
    const directory = mkdtempSync(join(tmpdir(), "belay-test-"));
    const go = join(directory, "go");
    const outcome = agent(["sh", "-c", `seq 1 200; until [ -e ${go} ]; do sleep 0.01; done; seq 201 400`]);
    const first = await tracker.stream();
    first.welcome();
    await first.next("logBatch");
    first.end();
    const second = await welcomed();
    writeFileSync(go, "");
    await outcome;
    rmSync(directory, { recursive: true });
    const numbers = outputOf([first, second], LogStream.STDOUT).trim().split("\n");
    expect(numbers).toEqual(Array.from({ length: 400 }, (_, index) => String(index + 1)));
  });

  test("ends the job after the time that its options give", async () => {
    const outcome = agent(["sleep", "1000"], {
      onDisconnect: { kind: "cancel-after", ms: 50 },
      flushTimeout: 100,
    });
    const stream = await tracker.stream();
    stream.welcome();
    await stream.next("event");
    tracker.close();
    expect(await outcome).toMatchObject({
      delivered: false,
      result: { outcome: Outcome.CANCELED, reason: EndReason.DISCONNECTED },
    });
  });

  test("kills its job when it has been taken over", async () => {
    const outcome = agent(["sleep", "1000"]);
    const first = await tracker.stream();
    first.welcome();
    const started = await until(
      () => first.next("event"),
      (event) => event.kind.case === "stepStarted",
    );
    first.end();
    (await tracker.stream()).fail(status.FAILED_PRECONDITION, "attempt 2 has it");
    await expect(outcome).rejects.toMatchObject({
      code: "SUPERSEDED",
      message: expect.stringContaining("attempt 2 has it"),
    });
    const pid = started.kind.case === "stepStarted" ? started.kind.value.pid : 0;
    expect(() => process.kill(pid, 0)).toThrow("ESRCH");
  });
});

test.each([
  { title: "without a reason is PREEMPTED", reason: undefined, failureClass: FailureClass.PREEMPTED },
  {
    title: "whose reason says that it was ordered is ORDERED",
    reason: { stopKind: "ordered" } satisfies StopReason,
    failureClass: FailureClass.ORDERED,
  },
])("a stop of the agent $title: the job ends with AGENT_STOPPED, and that is delivered", async (stopped) => {
  const stop = new AbortController();
  const outcome = agent(["sleep", "1000"], { stop: stop.signal });
  const stream = await welcomed();
  await until(
    () => stream.next("event"),
    (event) => event.kind.case === "stepStarted",
  );
  stop.abort(stopped.reason);
  const { failureClass } = stopped;
  expect(await outcome).toMatchObject({ delivered: true, result: { reason: EndReason.AGENT_STOPPED, failureClass } });
});

test("what the tracker does not confirm in time is reported as undelivered", async () => {
  const outcome = agent(["echo", "hello"], { flushTimeout: 50 });
  (await tracker.stream()).welcome();
  expect(await outcome).toMatchObject({ delivered: false, result: { outcome: Outcome.SUCCEEDED } });
  expect((await outcome).undelivered).not.toBe("");
});

test("an invalid job id is refused before anything happens", async () => {
  await expect(runAgent({ tracker: tracker.url, jobId: "a/b" })).rejects.toThrow('Cannot use job id "a/b"');
});

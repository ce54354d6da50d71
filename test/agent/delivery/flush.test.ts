import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { create, toBinary } from "@bufbuild/protobuf";
import { describe, expect, onTestFinished, test } from "vitest";
import { flushSpool } from "../../../src/agent/delivery/flush.ts";
import { Report } from "../../../src/agent/report/report.ts";
import { Mask } from "../../../src/agent/report/redact/mask.ts";
import { runAgent } from "../../../src/agent/run.ts";
import { systemClock } from "../../../src/base/clock.ts";
import {
  EndReason,
  FailureClass,
  JobResultSchema,
  JobSpecSchema,
  LogStream,
  Outcome,
} from "../../../src/gen/belay/v1/job_pb.ts";
import { type ScriptedStream, ScriptedTracker } from "../../helpers/scripted-tracker.ts";
import { diskSpool, ModelTracker, SESSION, temporaryDirectory } from "../report/model.ts";
import { OpenSessionRequestSchema } from "../../../src/gen/belay/v1/tracker_service_pb.ts";

async function startTracker(): Promise<ScriptedTracker> {
  const tracker = await ScriptedTracker.start();
  onTestFinished(() => tracker.close());
  return tracker;
}

/** An agent that is killed in the middle of its job, after so many bytes of output have come through. */
async function killedAgent(
  command: string[],
  bytes: number,
): Promise<{ directory: string; seen: Buffer; sessionId: string }> {
  const directory = temporaryDirectory();
  const tracker = await startTracker();
  const options = { tracker: tracker.url, jobId: "j1", spoolDirectory: directory, command };
  const driver = new URL("../../fixtures/agent-driver.ts", import.meta.url).pathname;
  const child: ChildProcess = spawn(process.execPath, [driver, JSON.stringify(options)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  const pieces: Buffer[] = [];
  let read = 0;
  child.stdout?.on("data", (data: Buffer) => {
    pieces.push(data);
    read += data.length;
    if (read >= bytes) child.kill("SIGKILL");
  });
  const stream = await tracker.stream();
  const { sessionId } = await stream.next("hello");
  stream.welcome({ attempt: 3 });
  // The first heartbeat shows that it was welcomed. From here on the tracker is gone.
  await stream.next("heartbeat");
  tracker.close();
  await once(child, "close");
  return { directory, seen: Buffer.concat(pieces), sessionId };
}

/** What a tracker makes of the records of a stream. */
function recordsOf(stream: ScriptedStream): ModelTracker {
  const model = new ModelTracker();
  for (const payload of stream.received) {
    if (payload.case !== "event" && payload.case !== "logBatch") continue;
    model.take(Buffer.from(toBinary(OpenSessionRequestSchema, create(OpenSessionRequestSchema, { payload }))));
  }
  return model;
}

describe("an agent that is killed", () => {
  test.for([
    ["at full rate", ["seq", "1", "100000000"], 20_000_000],
    ["between two lines", ["sh", "-c", "echo first; echo second; exec sleep 1000"], 13],
  ] as const)(
    "%s has left everything that it passed through, and AGENT_LOST is its result",
    async ([, command, bytes]) => {
      const { directory, seen, sessionId } = await killedAgent([...command], bytes);
      const tracker = await startTracker();
      const flushed = flushSpool({ directory, tracker: tracker.url, timeout: 10_000 });
      const stream = await tracker.stream();
      const hello = await stream.next("hello");
      expect(hello).toMatchObject({ sessionId, jobId: "j1", attempt: 3, deliversOnly: true });
      expect(hello.spec).toBeUndefined();
      stream.welcome({ attempt: 3 });
      stream.behave();
      expect(await flushed).toMatchObject({
        delivered: true,
        sessions: [{ jobId: "j1", attempt: 3, agentLost: true, message: "" }],
      });
      const model = recordsOf(stream);
      const stored = model.bytesOf(LogStream.STDOUT);
      expect(stored.length).toBeGreaterThanOrEqual(seen.length);
      expect(stored.subarray(0, seen.length).equals(seen)).toBe(true);
      const last = model.events.at(-1)?.kind;
      const failed = {
        outcome: Outcome.FAILED,
        reason: EndReason.AGENT_LOST,
        failureClass: FailureClass.INFRASTRUCTURE,
      };
      expect(last).toMatchObject({ case: "result", value: failed });
      expect(last?.case === "result" && last.value.streams).toEqual(model.totals());
      expect(readdirSync(directory)).toEqual([]);
    },
  );

  test("leaves the delivery to the next agent with the same directory", async () => {
    const { directory, seen, sessionId } = await killedAgent(["seq", "1", "100000000"], 1_000_000);
    const tracker = await startTracker();
    const outcome = runAgent({
      tracker: tracker.url,
      jobId: "j2",
      spoolDirectory: directory,
      spec: create(JobSpecSchema, { command: ["echo", "next"] }),
    });
    const streams = [await tracker.stream()];
    streams[0]?.welcome();
    streams[0]?.behave();
    const left = await tracker.stream();
    expect((await left.next("hello")).sessionId).toBe(sessionId);
    left.welcome({ attempt: 3 });
    left.behave();
    expect(await outcome).toMatchObject({ delivered: true });
    expect(recordsOf(left).bytesOf(LogStream.STDOUT).subarray(0, seen.length).equals(seen)).toBe(true);
    expect(readdirSync(directory)).toEqual([]);
  });
});

describe("what was left behind", () => {
  function finishedRun(directory: string): Promise<void> {
    const { spool } = diskSpool(directory);
    const report = new Report(systemClock, new Mask(), () => spool);
    spool.admitted(1);
    report.log(LogStream.STDOUT, 1, Buffer.from("hello\n"), 1n);
    report.result(create(JobResultSchema, { outcome: Outcome.SUCCEEDED, reason: EndReason.EXITED }));
    return spool.close();
  }

  test("with a result is delivered with that result", async () => {
    const directory = temporaryDirectory();
    await finishedRun(directory);
    const tracker = await startTracker();
    const flushed = flushSpool({ directory: join(directory, SESSION), tracker: tracker.url, timeout: 10_000 });
    const stream = await tracker.stream();
    stream.welcome();
    stream.behave();
    expect(await flushed).toMatchObject({ delivered: true, sessions: [{ agentLost: false }] });
    expect(recordsOf(stream).events.map(({ kind }) => kind.case)).toEqual(["result"]);
    expect(recordsOf(stream).bytesOf(LogStream.STDOUT).toString()).toBe("hello\n");
    expect(existsSync(join(directory, SESSION))).toBe(false);
  });

  test("stays where it is when no tracker answers, and can be delivered later", async () => {
    const directory = temporaryDirectory();
    await finishedRun(directory);
    const dead = await ScriptedTracker.start();
    dead.close();
    const first = await flushSpool({ directory, tracker: dead.url, timeout: 100 });
    expect(first).toMatchObject({ delivered: false, sessions: [{ sessionId: SESSION, delivered: false }] });
    expect(first.sessions[0]?.message).toContain("No tracker answered");
    const tracker = await startTracker();
    const second = flushSpool({ directory, tracker: tracker.url, timeout: 10_000 });
    const stream = await tracker.stream();
    stream.welcome();
    stream.behave();
    expect(await second).toMatchObject({ delivered: true });
  });

  test("by an agent that was never admitted is removed", async () => {
    const directory = temporaryDirectory();
    const { path } = diskSpool(directory);
    const copy = join(directory, "copy");
    cpSync(path, copy, { recursive: true });
    rmSync(path, { recursive: true });
    expect(await flushSpool({ directory, tracker: "http://127.0.0.1:1" })).toMatchObject({ delivered: true });
    expect(readdirSync(directory)).toEqual([]);
  });

  test("in a directory that is empty is delivered already; one that is missing is refused", async () => {
    const directory = temporaryDirectory();
    const tracker = "http://127.0.0.1:1";
    expect(await flushSpool({ directory, tracker })).toEqual({ delivered: true, sessions: [] });
    await expect(flushSpool({ directory: join(directory, "none"), tracker })).rejects.toMatchObject({
      code: "BAD_USAGE",
    });
  });
});

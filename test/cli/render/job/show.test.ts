import { create } from "@bufbuild/protobuf";
import { durationFromMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { describe, expect, it } from "vitest";
import { showText } from "../../../../src/cli/render/job/show.ts";
import { statusText } from "../../../../src/cli/render/job/status.ts";
import { styleOf } from "../../../../src/cli/render/style.ts";
import { jobTable } from "../../../../src/cli/render/job/job-table.ts";
import {
  CommandKind,
  CommandState,
  Containment,
  EndReason,
  JobSchema,
  JobState,
  LogCompleteness,
  LogStream,
  Outcome,
} from "../../../../src/gen/belay/v1/job_pb.ts";
import { GetJobStatusResponseSchema } from "../../../../src/gen/belay/v1/job_service_pb.ts";

const plain = styleOf({ color: false });
const START = 1_700_000_000_000;
const at = (ms: number) => timestampFromMs(START + ms);

const canceled = create(JobSchema, {
  jobId: "train-17",
  spec: {
    name: "train\u001b[2J",
    command: ["python", "my script.py", "it's"],
    setup: [{ run: "npm ci" }],
    labels: { team: "ml" },
    timeout: durationFromMs(60_000),
  },
  state: JobState.CANCELED,
  createTime: at(0),
  startTime: at(1_000),
  endTime: at(9_000),
  result: {
    outcome: Outcome.CANCELED,
    reason: EndReason.CANCELED,
    signal: "SIGKILL",
    startTime: at(1_000),
    endTime: at(9_000),
  },
  attempts: [
    {
      attempt: 1,
      agent: { hostname: "w1", pid: 42, version: "1.0.0", os: "linux", arch: "x64", containment: Containment.CGROUP },
      lastHeardTime: at(9_000),
      logCompleteness: LogCompleteness.INCOMPLETE,
      logMessage: "stdout lacks 5 bytes",
      stored: [{ stream: LogStream.STDOUT, bytes: 10n, lines: 1n }],
      result: {
        outcome: Outcome.CANCELED,
        reason: EndReason.CANCELED,
        signal: "SIGKILL",
        message: "wrong data",
        startTime: at(1_000),
        endTime: at(9_000),
        usage: { cpuSeconds: 1.5, peakMemoryBytes: 1048576n, exact: true },
        streams: [{ stream: LogStream.STDOUT, bytes: 15n, lines: 2n, droppedBytes: 5n }],
        evidence: {
          askTime: at(5_000),
          commandId: "c1",
          signals: [
            { signal: "SIGTERM", sendTime: at(5_001), processes: 3 },
            { signal: "SIGKILL", sendTime: at(8_001), processes: 1 },
            { signal: "SIGKILL", sendTime: at(8_002), processes: 1 },
            { signal: "SIGKILL", sendTime: at(8_901), processes: 1 },
          ],
          survivors: [{ pid: 99, state: "D", command: "stuck" }],
          outputCut: true,
          containment: Containment.CGROUP,
        },
      },
    },
  ],
  commands: [
    {
      commandId: "c1",
      kind: CommandKind.CANCEL,
      state: CommandState.COMPLETED,
      issueTime: at(4_990),
      updateTime: at(9_000),
      reason: "wrong data",
    },
  ],
});

describe("a job that reports its progress", () => {
  it("is shown with its note, and when it was reported", () => {
    const job = create(JobSchema, {
      jobId: "train-18",
      state: JobState.RUNNING,
      attempts: [
        {
          attempt: 1,
          progress: {
            fraction: 0.425,
            note: "epoch\u001b[2J 3/10",
            readUnixNano: BigInt(START) * 1_000_000n,
          },
        },
      ],
    });
    expect(showText(job, plain, START + 3000)).toMatch(/^ +Progress +42\.5 %, epoch.* 3\/10 \(3\.0s ago\)$/m);
    expect(showText(job, plain, START + 3000)).not.toContain("\u001b");
  });
});

describe("belay show", () => {
  it("shows everything about a canceled job, evidence included, with control sequences in names as text", () => {
    expect(showText(canceled, plain, START + 69_000)).toMatchInlineSnapshot(`
      "Job      train-17
      Name     train^[[2J
      State    CANCELED (SIGKILL after 8.0s)
      Command  python 'my script.py' 'it'\\''s'
      Setup    npm ci
      Labels   team=ml
      Limits   timeout 1m
      Created  2023-11-14T22:13:20.000Z (1m 9s ago)
      Started  2023-11-14T22:13:21.000Z (1m 8s ago)
      Ended    2023-11-14T22:13:29.000Z (1m ago)

      Attempt 1
        Agent       w1, pid 42, belay 1.0.0, linux/x64
        Connection  gone, last heard 1m ago
        Contained   cgroup
        Result      SIGKILL after 8.0s
        Message     wrong data
        Used        1.50 s of processor, 1.0 MiB at most
        Log         stdout 15 B, 2 lines, 5 B dropped, INCOMPLETE: stdout lacks 5 bytes
        Evidence
            +0ms  end requested by command c1
            +1ms  SIGTERM sent to 3 processes
           +3.0s  SIGKILL sent to 1 process, 3 times until +3.9s
                  survived: pid 99, D, stuck
                  a pipe was still open; output after that is not in the log

      Commands
        2023-11-14T22:13:24.990Z  cancel  COMPLETED  in 4.0s  wrong data
      "
    `);
  });
});

describe("belay status", () => {
  it("shows the agent's report with its processes", () => {
    const answer = create(GetJobStatusResponseSchema, {
      job: { jobId: "j1", state: JobState.RUNNING },
      report: {
        state: JobState.RUNNING,
        step: 2,
        pid: 7,
        stepDuration: durationFromMs(61_000),
        processes: [{ pid: 7, state: "S", cpuSeconds: 1.25, memoryBytes: 2048n, command: "sleep 1000" }],
        processCount: 3,
        metrics: { cpuCores: 1.5, cpuLimitCores: 2, cpuSeconds: 3, memoryBytes: 1024n, processes: 3 },
        heartbeat: { agentMemoryBytes: 1048576n, streams: 2, spoolMemoryBytes: 512n },
        streams: [{ stream: LogStream.STDERR, bytes: 3n, lines: 1n }],
      },
      roundTrip: durationFromMs(3),
    });
    expect(statusText(answer, plain, START)).toMatchInlineSnapshot(`
      "Job      j1
      State    RUNNING
      Step     2, pid 7, for 1m 1s
      Uses     cpu 1.50 of 2 cores (3.0 s), memory 1.0 KiB, 3 processes
      Printed  stderr 3 B, 1 line
      Agent    answered in 3ms, using 1.0 MiB, 2 connections so far
      Waiting  512 B not yet confirmed by the tracker

      PID  STATE  CPU   MEMORY  COMMAND
      7    S      1.3s  2.0KiB  sleep 1000
      and 2 more
      "
    `);
  });

  it("says why there is no report, and what was last known", () => {
    const answer = create(GetJobStatusResponseSchema, {
      job: {
        jobId: "j1",
        state: JobState.RUNNING,
        attempts: [{ attempt: 1, lastHeardTime: at(0), metrics: { cpuSeconds: 3, memoryBytes: 1024n, processes: 1 } }],
      },
      message: "the agent is not connected",
    });
    expect(statusText(answer, plain, START + 5_000)).toMatchInlineSnapshot(`
      "Job         j1
      State       RUNNING
      Agent       no answer: the agent is not connected
      Heard       5.0s ago
      Last known  cpu - cores (3.0 s), memory 1.0 KiB, 1 process
      "
    `);
  });
});

describe("belay jobs", () => {
  it("has the same number of columns in every line of a pipe", () => {
    const pending = create(JobSchema, { jobId: "p", state: JobState.PENDING, spec: { command: ["true"] } });
    const text = jobTable([canceled, pending], { isTerminal: false, color: false }, START + 69_000);
    expect(text).toMatchInlineSnapshot(`
      "JOB       STATE     CREATED                   TOOK  CODE     AGENT  ATTEMPT  NAME
      train-17  CANCELED  2023-11-14T22:13:20.000Z  8.0s  SIGKILL  w1     1        train^[[2J
      p         PENDING   -                         -     -        -      0        true
      "
    `);
    for (const line of text.trim().split("\n")) expect(line.split(/ +/).length).toBe(8);
  });

  it("is readable on a terminal", () => {
    expect(jobTable([canceled], { isTerminal: true, color: true }, START + 69_000)).toContain(
      "\u001b[33mCANCELED\u001b[0m",
    );
  });
});

describe("A job that ended while no agent had it", () => {
  const result = { outcome: Outcome.FAILED, reason: EndReason.NO_AGENT, message: "No agent took the job within 5.0s" };

  it("says why, which no attempt says", () => {
    const never = create(JobSchema, { jobId: "j", state: JobState.FAILED, result });
    expect(showText(never, plain, START)).toMatch(/^Why +No agent took the job within 5\.0s$/m);
    const lost = { outcome: Outcome.FAILED, reason: EndReason.AGENT_LOST, message: "No message" };
    const attempts = [{ attempt: 1, superseded: true, result: lost }];
    const between = create(JobSchema, { jobId: "j", state: JobState.FAILED, result, attempts });
    expect(showText(between, plain, START)).toMatch(/^Why +No agent took the job[^]+^ +Message +No message$/m);
    const once = create(JobSchema, { jobId: "j", state: JobState.FAILED, result: lost, attempts });
    expect(showText(once, plain, START)).not.toMatch(/^Why|superseded/m);
  });
});

import type { MessageInitShape } from "@bufbuild/protobuf";
import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { BelayError } from "../../../src/base/errors.ts";
import { exitCodeOfError, exitCodeOfResult } from "../../../src/cli/process/exit-codes.ts";
import { EndReason, JobResultSchema, Outcome, SpawnFailureKind } from "../../../src/gen/belay/v1/job_pb.ts";

describe("a job's result becomes an exit code", () => {
  const failed = Outcome.FAILED;
  const canceled = Outcome.CANCELED;
  const cases: [string, number, MessageInitShape<typeof JobResultSchema>][] = [
    ["success", 0, { outcome: Outcome.SUCCEEDED, reason: EndReason.EXITED, exitCode: 0 }],
    ["its own code", 3, { outcome: failed, reason: EndReason.EXITED, exitCode: 3 }],
    ["a signal", 139, { outcome: failed, reason: EndReason.SIGNALED, signal: "SIGSEGV" }],
    ["out of memory", 137, { outcome: failed, reason: EndReason.OOM_KILLED, signal: "SIGKILL" }],
    ["out of memory in a child, handled", 1, { outcome: failed, reason: EndReason.OOM_KILLED, exitCode: 1 }],
    ["out of memory in a child, ignored", 137, { outcome: failed, reason: EndReason.OOM_KILLED, exitCode: 0 }],
    ["a time limit", 124, { outcome: failed, reason: EndReason.TIMED_OUT, signal: "SIGTERM" }],
    ["a job that stalled", 124, { outcome: failed, reason: EndReason.STALLED, signal: "SIGTERM" }],
    ["no such command", 127, spawnFailed(SpawnFailureKind.NOT_FOUND)],
    ["not executable", 126, spawnFailed(SpawnFailureKind.NOT_EXECUTABLE)],
    ["no such directory", 126, spawnFailed(SpawnFailureKind.BAD_WORKING_DIRECTORY)],
    ["a setup step's code", 7, { outcome: failed, reason: EndReason.SETUP_FAILED, exitCode: 7 }],
    ["a setup step's signal", 137, { outcome: failed, reason: EndReason.SETUP_FAILED, signal: "SIGKILL" }],
    ["a cancel that killed", 137, { outcome: canceled, reason: EndReason.CANCELED, signal: "SIGKILL" }],
    ["a cancel that the job answered", 5, { outcome: canceled, reason: EndReason.CANCELED, exitCode: 5 }],
    ["a cancel that the job obeyed", 143, { outcome: canceled, reason: EndReason.CANCELED, exitCode: 0 }],
    ["a cancel before it ran", 143, { outcome: canceled, reason: EndReason.CANCELED }],
    ["a stopped agent", 143, { outcome: canceled, reason: EndReason.AGENT_STOPPED, signal: "SIGTERM" }],
    ["a lost agent", 125, { outcome: failed, reason: EndReason.AGENT_LOST }],
    ["a job that no agent took", 125, { outcome: failed, reason: EndReason.NO_AGENT }],
    ["a taken over job", 125, { outcome: failed, reason: EndReason.SUPERSEDED, signal: "SIGKILL" }],
    ["a tracker that stayed away", 125, { outcome: failed, reason: EndReason.DISCONNECTED, signal: "SIGTERM" }],
    ["a failed agent", 125, { outcome: failed, reason: EndReason.AGENT_FAILED }],
    ["a reason of a newer version", 125, { outcome: failed, reason: 99 as never }],
  ];

  it.each(cases)("%s: %i", (_, code, result) => {
    expect(exitCodeOfResult(create(JobResultSchema, result))).toBe(code);
  });
});

describe("an error becomes an exit code", () => {
  it("64 for what the user typed, 125 for all else", () => {
    expect(exitCodeOfError(new BelayError("BAD_USAGE", ""))).toBe(64);
    expect(exitCodeOfError(new BelayError("BAD_SPEC", ""))).toBe(64);
    expect(exitCodeOfError(new BelayError("TRACKER_UNREACHABLE", ""))).toBe(125);
    expect(exitCodeOfError(new BelayError("NOT_FOUND", ""))).toBe(125);
    expect(exitCodeOfError(new Error("bug"))).toBe(125);
  });

  it("75 for an attempt that may not start yet", () => {
    expect(exitCodeOfError(new BelayError("JOB_WAITS", ""))).toBe(75);
  });

  it("143 for an agent that was stopped before it had the job", () => {
    expect(exitCodeOfError(new BelayError("STOPPED", ""))).toBe(143);
  });
});

function spawnFailed(kind: SpawnFailureKind): MessageInitShape<typeof JobResultSchema> {
  return { outcome: Outcome.FAILED, reason: EndReason.SPAWN_FAILED, spawnFailure: { kind } };
}

import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { readFileSync } from "node:fs";
import { className, reasonName } from "../../src/contract/names.ts";
import { CLASS_OF_REASON, failureClass } from "../../src/contract/failure-class.ts";
import { EndReason, FailureClass, JobResultSchema, Outcome, SpawnFailureKind } from "../../src/gen/belay/v1/job_pb.ts";

const { JOB, PREEMPTED, INFRASTRUCTURE, ORDERED, UNSPECIFIED } = FailureClass;
const { FAILED, CANCELED, SUCCEEDED } = Outcome;

describe("the class of a failure", () => {
  it.each([
    [SUCCEEDED, EndReason.EXITED, UNSPECIFIED],
    [FAILED, EndReason.EXITED, JOB],
    [FAILED, EndReason.SIGNALED, JOB],
    [FAILED, EndReason.OOM_KILLED, JOB],
    [FAILED, EndReason.TIMED_OUT, JOB],
    [FAILED, EndReason.STALLED, JOB],
    [FAILED, EndReason.SPAWN_FAILED, JOB],
    [FAILED, EndReason.SETUP_FAILED, JOB],
    [CANCELED, EndReason.CANCELED, ORDERED],
    [CANCELED, EndReason.AGENT_STOPPED, PREEMPTED],
    [CANCELED, EndReason.SUPERSEDED, INFRASTRUCTURE],
    [FAILED, EndReason.AGENT_LOST, INFRASTRUCTURE],
    [CANCELED, EndReason.DISCONNECTED, INFRASTRUCTURE],
    [FAILED, EndReason.AGENT_FAILED, INFRASTRUCTURE],
    [FAILED, EndReason.NO_AGENT, INFRASTRUCTURE],
    [FAILED, 4711 as EndReason, UNSPECIFIED],
  ])("outcome %i, reason %i: %i", (outcome, reason, expected) => {
    expect(failureClass(create(JobResultSchema, { outcome, reason }))).toBe(expected);
  });

  it("is INFRASTRUCTURE if the machine had no process, memory or file descriptor to start a step", () => {
    for (const reason of [EndReason.SPAWN_FAILED, EndReason.SETUP_FAILED]) {
      const spawnFailure = { kind: SpawnFailureKind.NO_RESOURCES };
      expect(failureClass(create(JobResultSchema, { outcome: FAILED, reason, spawnFailure }))).toBe(INFRASTRUCTURE);
    }
  });

  it("of a stop is what the agent knows of the stop", () => {
    const stopped = create(JobResultSchema, { outcome: CANCELED, reason: EndReason.AGENT_STOPPED });
    expect(failureClass(stopped, ORDERED)).toBe(ORDERED);
  });

  it("has a row for each reason of the contract", () => {
    for (const reason of Object.values(EndReason).filter((value) => typeof value === "number")) {
      expect(CLASS_OF_REASON).toHaveProperty(String(reason));
    }
  });

  it("is in the table of docs/attempts.md", () => {
    const page = readFileSync(new URL("../../docs/attempts.md", import.meta.url), "utf8");
    const rows = [...page.matchAll(/^\| ([A-Z]+) \| [^|]+ \| ([A-Z_, ]+) \|$/gm)];
    const written = rows.flatMap(([, name, reasons]) =>
      (reasons ?? "").split(", ").map((reason) => `${reason} ${name}`),
    );
    const decided = Object.entries(CLASS_OF_REASON)
      .filter(([reason]) => Number(reason) !== EndReason.UNSPECIFIED)
      .map(([reason, failure]) => `${reasonName(Number(reason) as EndReason)} ${className(failure)}`);
    expect(written.toSorted()).toEqual(decided.toSorted());
  });
});

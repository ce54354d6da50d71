import fs from "node:fs";
import { describe, expect, it } from "vitest";
import { cgroupNumber, ownCgroup } from "../../../../src/agent/job/tree/cgroup.ts";
import { makeContainment } from "../../../../src/agent/job/tree/containment.ts";
import { nothingReapsWarning } from "../../../../src/agent/job/start/pid-one.ts";
import { prepareJob } from "../../../../src/agent/job/start/prepare.ts";
import type { ContainmentChoice } from "../../../../src/agent/options.ts";
import { silentLogger } from "../../../../src/base/logger.ts";
import { Containment } from "../../../../src/gen/belay/v1/job_pb.ts";
import { MODES } from "../driver.ts";
import { eventually, isAlive } from "../facts.ts";

const withoutCgroup = MODES.find(({ containment }) => containment === "cgroup")?.skip;

/** How a job would be held. */
function tried(choice: ContainmentChoice): { containment: Containment; message: string } {
  const { containment, message, tree } = makeContainment(choice);
  tree.close();
  return { containment, message };
}

describe("The choice of a containment", () => {
  it.skipIf(withoutCgroup !== undefined)("is a cgroup where one is available", () => {
    expect(tried("auto")).toEqual({ containment: Containment.CGROUP, message: "" });
  });

  it.skipIf(withoutCgroup !== undefined)("leaves no cgroup behind", () => {
    const { cgroup, tree } = makeContainment("cgroup");
    expect(fs.existsSync(cgroup)).toBe(true);
    expect(tree.isEmpty()).toBe(true);
    expect(tree.close()).toBe(true);
    expect(fs.existsSync(cgroup)).toBe(false);
  });

  it.skipIf(withoutCgroup === undefined)("falls back to the process group, and says why", () => {
    const { containment, message } = tried("auto");
    expect(containment).toBe(Containment.PROCESS_GROUP);
    expect(message).toMatch(/^No cgroup: ./);
  });

  it.skipIf(withoutCgroup === undefined)("refuses a cgroup that is not available, and says why", () => {
    expect(() => makeContainment("cgroup")).toThrow(/^Cannot use --containment "cgroup": ./);
  });

  it("is the process group when that was chosen", () => {
    expect(tried("process-group")).toEqual({
      containment: Containment.PROCESS_GROUP,
      message: "Process group was chosen",
    });
  });

  const own = ownCgroup();
  const none = own === undefined ? " (skipped: this process is in no cgroup of version 2)" : "";
  it.skipIf(own === undefined)(`finds the agent's own cgroup, in the hybrid layout, too${none}`, () => {
    expect(fs.readFileSync(`${own}/cgroup.procs`, "latin1").split("\n")).toContain(String(process.pid));
    expect(cgroupNumber(`${own}/cgroup.stat`, "nr_descendants")).toBeGreaterThanOrEqual(0);
  });
});

describe("A preparation without a job", () => {
  it("releases everything", async () => {
    const prepared = prepareJob({ containment: "auto", environment: process.env, logger: silentLogger });
    const { watcher, cgroup, pipes } = prepared;
    expect(isAlive(watcher.pid)).toBe(true);
    await prepared.close();
    await prepared.close();
    await eventually("watcher gone", () => !isAlive(watcher.pid));
    expect(fs.existsSync(pipes.directory)).toBe(false);
    expect(cgroup !== "" && fs.existsSync(cgroup)).toBe(false);
  });
});

describe("An agent that is process 1", () => {
  it("warns that nothing reaps orphans", () => {
    expect(nothingReapsWarning(1)).toContain("tini");
    expect(nothingReapsWarning(4711)).toBeUndefined();
  });
});

import fs from "node:fs";
import { describe, expect, it } from "vitest";
import { makeContainment } from "../../../../src/agent/job/tree/containment.ts";
import { EndReason, Outcome } from "../../../../src/gen/belay/v1/job_pb.ts";
import { eventually } from "../facts.ts";
import { type LocalJob, start } from "../local.ts";

/** Uses 200 MB. */
const GREEDY = ["perl", "-e", "$x = 'a' x 200_000_000; print 'done'"];
const LIMIT = 64n << 20n;

const skip = noLimit();
/** Why the case of a controller that refuses a limit, or of one that enforces any, is not tried. */
const version = fs.existsSync("/sys/fs/cgroup/cgroup.controllers") ? 2 : 1;

function noLimit(): string | undefined {
  const { tree } = makeContainment("auto");
  const problem = tree.limitMemory(1 << 30);
  tree.close();
  return problem;
}

describe(`A memory limit${skip === undefined ? "" : ` (not enforceable here: ${skip})`}`, () => {
  it.skipIf(skip !== undefined)("ends a job that exceeds it, and the result names the limit as the cause", async () => {
    const ended = await start({ command: GREEDY, memoryLimitBytes: LIMIT }).result;
    expect(ended).toMatchObject({ outcome: Outcome.FAILED, reason: EndReason.OOM_KILLED, signal: "SIGKILL" });
    expect(ended.message).toBe(
      "Main command was ended by SIGKILL: the kernel ran out of memory for the job and killed 1 process of it",
    );
    expect(ended.usage?.exact).toBe(true);
    expect(Number(ended.usage?.peakMemoryBytes)).toBeLessThanOrEqual(Number(LIMIT));
  });

  it.skipIf(skip !== undefined)("is reported differently when it killed a child of the command", async () => {
    const ended = await start({ command: ["sh", "-c", '"$@"; exit 4', "sh", ...GREEDY], memoryLimitBytes: LIMIT })
      .result;
    expect(ended).toMatchObject({ outcome: Outcome.FAILED, reason: EndReason.OOM_KILLED, exitCode: 4 });
  });

  it.skipIf(skip !== undefined)("stays the cause when the agent is asked to stop at the next moment", async () => {
    const stop = { reason: EndReason.AGENT_STOPPED, message: "The agent was asked to stop" };
    const ended: LocalJob = start(
      { command: GREEDY, memoryLimitBytes: LIMIT },
      { mayBeStopped: true },
      { stepEnded: () => setImmediate(() => ended.job.end(stop)) },
    );
    expect(await ended.result).toMatchObject({ outcome: Outcome.FAILED, reason: EndReason.OOM_KILLED });
  });

  it.skipIf(skip !== undefined)("applies to every step", async () => {
    const setup = [{ run: "echo setup" }];
    const { result } = start({ setup, command: GREEDY, memoryLimitBytes: LIMIT });
    expect(await result).toMatchObject({ reason: EndReason.OOM_KILLED, step: 2 });
  });

  it.skipIf(skip !== undefined)("ends a step after the end, which changes nothing in how the job ended", async () => {
    const greedy = {
      name: "greedy",
      run: `exec perl -e '${GREEDY[2]}'`.replace("'a'", '"a"').replace("'done'", '"done"'),
    };
    const after = [greedy, { run: "exit 3" }];
    const ended = await start({ command: ["true"], after, memoryLimitBytes: LIMIT }).result;
    expect(ended).toMatchObject({ outcome: Outcome.SUCCEEDED, reason: EndReason.EXITED, exitCode: 0 });
    expect(ended.after.map(({ message }) => message)).toEqual([
      'After-step 2 "greedy" was ended by SIGKILL: the kernel ran out of memory for the job and killed 1 process of it',
      // Not blamed on the memory that ran out before.
      'After-step 3 "exit 3" exited with code 3',
    ]);
  });

  describe("that is less than what the fork itself took", () => {
    const tiny = { command: GREEDY, memoryLimitBytes: 200_000n };

    it.skipIf(skip !== undefined || version !== 1)(
      "is refused by a controller of cgroup v1: the log says so",
      async () => {
        const { result, notices } = start(tiny);
        expect(await result).toMatchObject({ outcome: Outcome.SUCCEEDED });
        expect(notices.join()).toContain("The memory limit is not enforced");
      },
    );

    it.skipIf(skip !== undefined || version !== 2)("ends the job, and not the agent, with cgroup v2", async () => {
      expect(await start(tiny).result).toMatchObject({ outcome: Outcome.FAILED });
    });
  });

  it.skipIf(skip !== undefined)("is shown in samples, and use below it is measured", async () => {
    const script = "$x = 'a' x 30_000_000; $| = 1; print 'ready'; sleep 1000";
    const { result, job, stdout } = start({ command: ["perl", "-e", script], memoryLimitBytes: LIMIT });
    await eventually("ready", () => stdout().includes("ready"));
    const sample = await job.sample();
    expect(sample).toMatchObject({ exact: true, memoryLimitBytes: LIMIT });
    // The string and the constant it was made from.
    expect(Number(sample?.memoryBytes)).toBeGreaterThan(30_000_000);
    expect(Number(sample?.memoryBytes)).toBeLessThan(64 << 20);
    job.end({ reason: EndReason.CANCELED, message: "" });
    expect(Number((await result).usage?.peakMemoryBytes)).toBeGreaterThan(30_000_000);
  });

  it("that cannot be enforced is reported in the log", async () => {
    const { result, notices } = start({ command: ["true"], memoryLimitBytes: LIMIT }, { containment: "process-group" });
    expect(await result).toMatchObject({ outcome: Outcome.SUCCEEDED });
    expect(notices).toEqual(["The memory limit is not enforced: the job has no cgroup"]);
  });
});

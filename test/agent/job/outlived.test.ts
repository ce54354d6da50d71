import { describe, test } from "vitest";
import { prepareJob, type PreparedJob } from "../../../src/agent/job/start/prepare.ts";
import { sleep } from "../../../src/base/clock.ts";
import { silentLogger } from "../../../src/base/logger.ts";
import { EndReason } from "../../../src/gen/belay/v1/job_pb.ts";
import { start } from "./local.ts";

/** For how long SIGKILL is repeated here; that it is five seconds otherwise is shown in end/ladder.test. Milliseconds. */
const TIMING = { sweep: 500 };
/** These jobs take a second; it is the sleeper's 33 s that they must not take. Milliseconds. */
const AT_MOST_MS = 15_000;
const SLEEPER = ["sh", "-c", "exec sleep 33 >&- 2>&-"];
const CANCEL = { reason: EndReason.CANCELED, message: "Canceled by the test", grace: 0 };

/** A job whose processes no signal reaches, as if each were in an uninterruptible sleep. */
function unkillable(): PreparedJob {
  const prepared = prepareJob({ containment: "process-group", environment: process.env, logger: silentLogger });
  const { tree } = prepared;
  tree.kill = () => tree.members();
  tree.signal = () => tree.members().length;
  return prepared;
}

/** The process may have ended already. */
function endProcess(pid: number): void {
  try {
    if (pid !== 0) process.kill(pid, "SIGKILL");
  } catch {}
}

describe("A job whose process outlives SIGKILL ends when SIGKILL is given up, and names the process", () => {
  test.concurrent.for([
    ["while its start is being reported", "starting"],
    ["half a second after its start", "later"],
  ] as const)("if it is canceled %s", { timeout: 40_000 }, async ([, when], { expect }) => {
    const begin = performance.now();
    let pid = 0;
    const started = Promise.withResolvers<void>();
    const { job, result } = start(
      { command: SLEEPER },
      { containment: "process-group", prepared: unkillable() },
      {
        stepStarted: (step) => {
          pid = step.pid;
          // The agent does not wait for the step's end yet.
          if (when === "starting") job.end(CANCEL);
          started.resolve();
        },
      },
      TIMING,
    );
    try {
      await started.promise;
      if (when === "later") {
        await sleep(500);
        job.end(CANCEL);
      }
      const { reason, message, evidence } = await result;
      expect(performance.now() - begin).toBeLessThan(AT_MOST_MS);
      expect(reason).toBe(EndReason.CANCELED);
      expect(evidence?.survivors.map((survivor) => survivor.pid)).toEqual([pid]);
      expect(message).toContain("1 process outlived SIGKILL");
    } finally {
      endProcess(pid);
    }
  });
});

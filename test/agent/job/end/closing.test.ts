import fs from "node:fs";
import { afterEach, describe, expect, it, vi } from "vitest";
import { Closing } from "../../../../src/agent/job/end/closing.ts";
import { JobOutput } from "../../../../src/agent/job/output/output.ts";
import { eventually } from "../facts.ts";
import { start } from "../local.ts";

const noProc = !fs.existsSync("/proc/self/fd");

afterEach(() => vi.restoreAllMocks());

describe.skipIf(noProc)("A pipe that stays open after the job's last process has ended", () => {
  it("is given up after five seconds without output, and the result says that some may be missing", async () => {
    const { job, result, stdout } = start({ command: ["sh", "-c", "echo ready; exec sleep 1000"] });
    await eventually("its output", () => stdout().length > 0);
    // This process, which is no process of the job, holds the pipe.
    const held = fs.openSync(`/proc/${(await job.status()).pid}/fd/1`, "w");
    try {
      const silence = vi.spyOn(JobOutput.prototype, "stillFor", "get").mockReturnValue(4999);
      const finishing = vi.spyOn(Closing.prototype, "finishOutput");
      const ended = vi.fn();
      void job.done.then(ended);
      await job.signal("SIGKILL");
      await eventually("the last thing that the job waits for", () => finishing.mock.calls.length > 0);
      const asked = silence.mock.calls.length;
      await eventually("more looks at the silence", () => silence.mock.calls.length > asked + 20);
      expect(ended).not.toHaveBeenCalled();
      silence.mockReturnValue(5000);
      expect((await result).evidence?.outputCut).toBe(true);
    } finally {
      fs.closeSync(held);
    }
  });
});

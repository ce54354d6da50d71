import { expect, it } from "vitest";
import { TrackerProcess } from "../helpers/cli.ts";
import { jobClient } from "../helpers/tracker.ts";

it("The error for a job that cannot be deleted yet says how it can be deleted", async () => {
  const tracker = await TrackerProcess.start({ args: ["--lease", "1s"] });
  const jobs = jobClient(tracker.url);
  const remove = (jobId: string): Promise<unknown> => jobs.deleteJob({ jobId });
  await tracker.ends("submit", "--job", "pending", "--", "true");
  await expect(remove("pending")).rejects.toMatchObject({
    rawMessage: 'Cannot delete job "pending": it is PENDING; cancel it first',
  });
  await tracker.ends("cancel", "pending");
  await remove("pending");

  const run = tracker.belay("run", "--job", "j1", "--", "sh", "-c", "trap '' TERM; echo ready; sleep 60");
  await run.says(/ready/);
  await expect(remove("j1")).rejects.toMatchObject({
    rawMessage: expect.stringMatching(/it is RUNNING; cancel it first$/),
  });
  await tracker.ends("cancel", "--grace", "1m", "j1");
  await expect(remove("j1")).rejects.toMatchObject({
    rawMessage: expect.stringMatching(/it is CANCELING; wait until it has ended$/),
  });
  await run.kill("SIGKILL");
  await tracker.belay("wait", "j1").says(/The agent of "j1" is lost/);
  await expect(remove("j1")).rejects.toMatchObject({
    rawMessage:
      'Cannot delete job "j1": it is LOST; its agent may come back with it. Cancel it: it ends when that agent is ' +
      'back, or at once when another one takes it, as "belay run --job j1" does',
  });
  // The earlier order still waits for the next agent.
  expect(await tracker.ends("run", "--job", "j1")).toMatchObject({ code: 143, stdout: "" });
  expect((await tracker.ends("show", "j1")).stdout).toMatch(/CANCELED/);
  await remove("j1");
  expect((await tracker.ends("show", "j1")).code).toBe(125);
});

import { expect, it } from "vitest";
import { TrackerProcess } from "../helpers/cli.ts";

it("A user finds out that a job hangs, where, and that it goes on", async () => {
  const tracker = await TrackerProcess.start();
  const script = 'trap "go=1" USR1; echo working; while :; do [ "$go" ] && echo awake; sleep 0.1; done';
  const run = tracker.belay("run", "--job", "j1", "--stall-after", "1s", "--", "sh", "-c", script);
  await run.says(/working/);
  const health = async (): Promise<string | undefined> =>
    /^Health +(.*)$/m.exec((await tracker.ends("show", "j1")).stdout)?.[1];
  await expect.poll(health, { timeout: 15_000 }).toMatch(/^STALLED for [\d.]+s: No output or progress for 1\.0s$/);
  const log = await tracker.ends("logs", "--stream", "agent", "j1");
  expect(log.stdout).toMatch(
    /^The job has stalled\. No output or progress for 1\.0s\. Its processes:\n +PID +PARENT .*\n/,
  );
  expect(log.stdout).toMatch(/^ *\d+ +\d+ +sleeping .* sh -c trap "go=1" USR1; /m);
  await tracker.ends("signal", "j1", "USR1");
  await run.says(/awake/);
  await expect.poll(health, { timeout: 15_000 }).toBeUndefined();
  await tracker.ends("cancel", "j1");
  expect(await run.ended).toBe(143);
});

it("A job that hangs is ended where its user wants that", async () => {
  const tracker = await TrackerProcess.start();
  const flags = ["--job", "j1", "--stall-after", "1s", "--stall-action", "end"];
  const run = await tracker.ends("run", ...flags, "--", "sleep", "300");
  expect(run.code).toBe(124);
  expect(run.stderr).toMatch(
    /^belay: Job j1 FAILED \(STALLED, SIGTERM after [\d.]+s\): Main command gave no sign of life: no output or progress for 1\.0s\nbelay: Hint: It had printed nothing; its processes, and what each waited for, are in the log: belay logs --stream agent j1\n$/,
  );
  const waited = await tracker.ends("wait", "j1");
  expect(waited.code).toBe(124);
});

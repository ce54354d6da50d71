import { describe, expect, it } from "vitest";
import { TrackerProcess } from "../helpers/cli.ts";

describe("A tracker that is killed during a job and started again on the same data", () => {
  it("has the whole log and nothing twice; the job and those who follow or wait for it went on", async () => {
    let tracker = await TrackerProcess.start();
    const count = 40;
    const script = `for i in $(seq 1 ${count}); do echo line $i; sleep 0.1; done`;
    const run = tracker.belay("run", "--job", "j1", "--log-level", "error", "--", "sh", "-c", script);
    await run.says(/^line 3$/m);
    const logs = tracker.belay("logs", "-f", "j1");
    const wait = tracker.belay("wait", "j1");
    await logs.says(/^line 5$/m);
    tracker = await tracker.killAndRestart();
    await run.says(/^line 20$/m);
    tracker = await tracker.killAndRestart();
    expect(await run.ended, run.stderr).toBe(0);

    const expected = Array.from({ length: count }, (_, i) => `line ${i + 1}\n`).join("");
    expect(run.stdout).toBe(expected);
    expect((await tracker.ends("logs", "--stream", "stdout", "j1")).stdout).toBe(expected);
    expect((await tracker.ends("show", "j1")).stdout).toMatch(/Log .*, complete/);
    expect(await logs.ended).toBe(0);
    expect(logs.stdout).toBe(expected);
    expect(logs.stderr).toMatch(/^belay: .*trying until it answers$/m);
    expect(logs.stderr).toMatch(/^belay: Back at the tracker/m);
    expect(await wait.ended).toBe(0);
  });

  it("still knows its jobs", async () => {
    let tracker = await TrackerProcess.start();
    await tracker.ends("run", "--job", "done", "--", "sh", "-c", "exit 4");
    await tracker.ends("submit", "--job", "pending", "--", "echo", "later");
    tracker = await tracker.killAndRestart();
    expect((await tracker.ends("wait", "done")).code).toBe(4);
    expect((await tracker.ends("run", "--job", "pending")).stdout).toBe("later\n");
  });
});

import { execFileSync, spawnSync } from "node:child_process";
import { writeFile } from "node:fs/promises";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { MAIN, tempDirectory, TrackerProcess } from "../helpers/cli.ts";

/** Reports metrics, waits for a file, and reports more. */
const SCRIPT = `echo 'loss=0.5 step=1' >> "$BELAY_METRICS"; echo 'progress=0.25 note="first half"' >> "$BELAY_METRICS"; echo said
until [ -e "$0" ]; do sleep 0.05; done
echo 'loss=0.25 step=2' >> "$BELAY_METRICS"; echo 'progress=1' >> "$BELAY_METRICS"`;

async function talkingJob(): Promise<{ tracker: TrackerProcess; goOn: () => Promise<unknown> }> {
  const tracker = await TrackerProcess.start();
  const gate = path.join(await tempDirectory(), "gate");
  const run = tracker.belay("run", "--job", "j1", "--metrics-interval", "100ms", "--", "sh", "-c", SCRIPT, gate);
  await run.says(/said/);
  const goOn = async (): Promise<unknown> => {
    await writeFile(gate, "");
    return run.ended;
  };
  return { tracker, goOn };
}

describe("A user of belay metrics", () => {
  it("follows a job's resource use and own metrics, and reads all of them later with a program", async () => {
    const { tracker, goOn } = await talkingJob();
    const following = tracker.belay("metrics", "--follow", "j1");
    await following.says(/loss=0\.5 step=1/);
    await following.says(/progress 25 % {2}first half/);
    expect(await goOn()).toBe(0);
    expect(await following.ended).toBe(0);
    expect(following.stdout).toMatch(/loss=0\.25 step=2/);
    expect((await tracker.ends("metrics", "--csv", "--name", "loss", "j1")).stdout).toMatch(
      /^time,name,value,step\n[^,]+,loss,0\.5,1\n[^,]+,loss,0\.25,2\n$/,
    );
    const usage = (await tracker.ends("metrics", "--csv", "j1")).stdout.trimEnd().split("\n");
    expect(usage.length).toBeGreaterThan(2);
    expect((await tracker.ends("metrics", "j1")).stdout).toMatch(/^j1 {2}SUCCEEDED {2}\d+ samples in .*\n.* 100 % /);
  });

  it("gets each value once, also from a tracker that is killed and started again", async () => {
    let tracker = await TrackerProcess.start();
    const gate = path.join(await tempDirectory(), "gate");
    const count = `n=0; until [ -e "$0" ]; do n=$((n+1)); echo "n=$n" >> "$BELAY_METRICS"; echo said $n; sleep 0.02; done`;
    const run = tracker.belay("run", "--job", "j1", "--metrics-interval", "100ms", "--", "sh", "-c", count, gate);
    await run.says(/said 1$/m);
    const following = tracker.belay("metrics", "--follow", "--name", "n", "j1");
    await following.says(/ n=1$/m);
    tracker = await tracker.killAndRestart();
    const [, before = ""] = /said (\d+)\n$/.exec(run.stdout) ?? [];
    await following.says(new RegExp(` n=${Number(before) + 100}$`, "m"));
    await writeFile(gate, "");
    expect(await run.ended).toBe(0);
    expect(await following.ended).toBe(0);
    const values = [...following.stdout.matchAll(/ n=(\d+)$/gm)].map(([, n]) => Number(n));
    expect(values).toEqual(values.map((_, i) => i + 1));
    expect(values.at(-1)).toBe(run.stdout.trim().split("\n").length);
  });

  it.skipIf(spawnSync("tmux", ["-V"]).status !== 0)(
    "sees the view redrawn in place, fitted to the terminal, and kept after the end (skipped where tmux is missing)",
    async () => {
      const { tracker, goOn } = await talkingJob();
      const socket = path.join(await tempDirectory(), "tmux");
      const tmux = (...args: string[]): string =>
        execFileSync("tmux", ["-S", socket, "-u", ...args], { encoding: "utf8" });
      const command = `${process.execPath} ${MAIN} metrics --follow --tracker ${tracker.url} j1; echo "ended with $?"`;
      try {
        tmux(
          "-f",
          "/dev/null",
          "new-session",
          "-d",
          "-x",
          "80",
          "-y",
          "30",
          `LC_ALL=C.UTF-8 sh -c '${command}; sleep 1000'`,
        );
        const screen = (): string => tmux("capture-pane", "-p");
        await expect.poll(screen, { timeout: 20_000 }).toMatch(/25 % .* first half/);
        await expect.poll(screen, { timeout: 20_000 }).toMatch(/^loss +0\.5 +0\.5 +0\.5 {2}step 1 +▁$/m);
        tmux("resize-window", "-x", "40", "-y", "30");
        await expect.poll(screen, { timeout: 20_000 }).toMatch(/^memory +\S+ [KM]iB +\S+ [KM]iB$/m);
        expect(await goOn()).toBe(0);
        await expect.poll(screen, { timeout: 20_000 }).toMatch(/ended with 0/);
        const last = screen();
        expect(last).toMatch(/^j1 {2}SUCCEEDED/m);
        expect(last).toMatch(/100 %/);
        expect(last).toMatch(/^loss +0\.25 +0\.25 +0\.5/m);
        // Each frame replaced the one before.
        expect(last.match(/^cpu /gm)).toHaveLength(1);
      } finally {
        tmux("kill-server");
      }
    },
  );
});

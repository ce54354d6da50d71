import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { TrackerProcess } from "../helpers/cli.ts";
import { isAlive } from "../helpers/processes.ts";

const directories: string[] = [];

afterEach(async () => {
  for (const path of directories.splice(0)) await rm(path, { recursive: true, force: true });
});

function directory(): string {
  const path = mkdtempSync(join(tmpdir(), "belay-after-"));
  directories.push(path);
  return path;
}

describe("A user whose job has steps after its end", () => {
  it("sees them run in order, in the log and in belay show; the job's own exit code stands", async () => {
    const tracker = await TrackerProcess.start();
    const spec = join(directory(), "job.yaml");
    writeFileSync(
      spec,
      `command: [sh, -c, "echo work; exit 3"]
environment: { API_TOKEN: topsecretvalue }
after:
  - { name: upload, run: "echo up $BELAY_OUTCOME $API_TOKEN; exit 4", when: FAILURE }
  - { name: celebrate, run: "echo party", when: SUCCESS }
  - { run: "echo clean $BELAY_STEP" }
`,
    );
    const problem = 'belay: After-step 2 "upload" exited with code 4\n';
    const ran = await tracker.ends("run", "--job", "j1", "--spec", spec);
    expect(ran.code).toBe(3);
    expect(ran.stderr).toBe(problem);
    expect(ran.stdout).toBe("work\nup FAILED ***\nclean 4\n");
    expect((await tracker.ends("logs", "j1")).stdout).toBe(`work\nup FAILED ***\n${problem}clean 4\n`);
    expect((await tracker.ends("logs", "--step", "4", "j1")).stdout).toBe("clean 4\n");
    const shown = (await tracker.ends("show", "j1")).stdout;
    expect(shown).toMatch(/^State +FAILED \(exit code 3 after /m);
    expect(shown).toMatch(/^After +upload; celebrate; echo clean \$BELAY_STEP$/m);
    expect(shown).toMatch(/^ +step 2 +upload +exit code 4 after /m);
    expect(shown).toMatch(/^ +celebrate +skipped: It runs only when the outcome is SUCCEEDED; it was FAILED$/m);
    expect(shown).toMatch(/^ +step 4 +echo clean \$BELAY_STEP +exit code 0 after /m);
    const waited = await tracker.ends("wait", "j1");
    expect(waited).toMatchObject({ code: 3, stderr: `Last lines of standard output\n  | work\n${problem}` });
  });

  it("sees which one runs, and cancels it: the job stays SUCCEEDED", async () => {
    const tracker = await TrackerProcess.start();
    const after = ["--after", "echo first $$; exec sleep 1000", "--after", "echo never"];
    const run = tracker.belay("run", "--job", "j1", ...after, "--", "true");
    const [, pid = ""] = await run.says(/^first (\d+)$/m);
    const running = /after-step 2, 1 of 2/;
    await expect.poll(async () => (await tracker.ends("show", "j1")).stdout).toMatch(running);
    expect((await tracker.ends("status", "j1")).stdout).toMatch(running);
    await tracker.ends("cancel", "--wait", "j1");
    expect(await run.ended).toBe(0);
    expect(isAlive(Number(pid))).toBe(false);
    expect(run.stderr).toContain("was ended by SIGTERM: The job was canceled while steps after its end ran");
    expect(run.stderr).toContain('"echo never" did not run: The job was canceled while steps after its end ran');
    expect((await tracker.ends("show", "j1")).stdout).toMatch(/^State +SUCCEEDED/m);
  });

  it("whose agent is told to stop has --stop-budget for them", async () => {
    const tracker = await TrackerProcess.start();
    const after = ["--stop-budget", "600ms", "--after", "echo saved", "--after", "exec sleep 1000", "--after", "true"];
    const run = tracker.belay("run", "--job", "j1", ...after, "--", "sh", "-c", "echo up; exec sleep 1000");
    await run.says(/^up$/m);
    run.child.kill("SIGTERM");
    expect(await run.ended).toBe(143);
    expect(run.stdout).toBe("up\nsaved\n");
    const budget = "The agent was asked to stop, and its stop budget of 600ms is used up";
    expect((await tracker.ends("show", "j1")).stdout).toContain(`not run: ${budget}`);
  });

  it("whose agent is killed while the command runs reads that they did not run, and nothing is left", async () => {
    const tracker = await TrackerProcess.start();
    const spool = directory();
    const note = join(directory(), "note");
    const args = ["--spool-dir", spool, "--after", `echo ran > ${note}`, "--after", "true"];
    const run = tracker.belay("run", "--job", "j1", ...args, "--", "sh", "-c", "echo up; exec sleep 1000");
    await run.says(/^up$/m);
    run.child.kill("SIGKILL");
    await run.ended;
    await tracker.ends("flush", spool);
    const shown = (await tracker.ends("show", "j1")).stdout;
    expect(shown).toMatch(/^State +FAILED \(AGENT_LOST/m);
    expect(shown.match(/not run: The agent died$/gm)).toHaveLength(2);
    expect(() => readFileSync(note)).toThrow("ENOENT");
  });
});

it("An after-step without a command is refused before anything runs", async () => {
  const tracker = await TrackerProcess.start();
  const flag = await tracker.ends("run", "--after", " ", "--", "true");
  expect(flag).toMatchObject({ code: 64, stderr: 'belay: Cannot use --after " ": expected a shell command\n' });
  const spec = join(directory(), "job.json");
  writeFileSync(spec, JSON.stringify({ command: ["true"], after: [{ name: "x" }] }));
  const file = await tracker.ends("run", "--spec", spec);
  expect(file.code).toBe(64);
  expect(file.stderr).toContain("after[0].run");
  expect(file.stderr).toContain("is empty: expected a shell command");
});

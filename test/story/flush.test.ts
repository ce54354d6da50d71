import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readdirSync } from "node:fs";
import { setTimeout as wait } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { belay, belayEnds, tempDirectory, TrackerProcess } from "../helpers/cli.ts";

const sha = (bytes: Buffer | string): string => createHash("sha256").update(bytes).digest("hex");

describe("An agent with a spool directory", () => {
  it("leaves the directory empty when everything was delivered", async () => {
    const tracker = await TrackerProcess.start();
    const spool = await tempDirectory();
    expect((await tracker.ends("run", "--spool-dir", spool, "--", "seq", "1", "100000")).code).toBe(0);
    expect(readdirSync(spool)).toEqual([]);
  });

  it("that is killed leaves undelivered records there: belay flush delivers them, with AGENT_LOST", async () => {
    const tracker = await TrackerProcess.start();
    const spool = await tempDirectory();
    const script = "seq 1 100000; exec sleep 1000";
    const run = tracker.belay("run", "--job", "j1", "--spool-dir", spool, "--", "sh", "-c", script);
    await run.says(/^100000$/m);
    await run.kill("SIGKILL");
    expect((await belayEnds(["flush", spool, "--tracker", tracker.url])).stdout).toBe(
      "Delivered  job j1, attempt 1, AGENT_LOST\n",
    );
    expect(readdirSync(spool)).toEqual([]);
    const show = (await tracker.ends("show", "j1")).stdout;
    expect(show).toMatch(/AGENT_LOST/);
    expect(show).toMatch(/Log .*, complete/);
    const expected = Array.from({ length: 100_000 }, (_, i) => `${i + 1}\n`).join("");
    expect(sha((await tracker.ends("logs", "--stream", "stdout", "j1")).stdoutBytes)).toBe(sha(expected));
    expect((await belayEnds(["flush", spool, "--tracker", tracker.url])).stdout).toBe(`Nothing is left in ${spool}\n`);
  });

  it("that is killed and started again delivers the records itself, and runs the next attempt", async () => {
    const tracker = await TrackerProcess.start();
    const spool = await tempDirectory();
    const flags = ["--job", "j1", "--spool-dir", spool];
    const script = 'echo "attempt $BELAY_ATTEMPT"; [ "$BELAY_ATTEMPT" = 2 ] || { seq 1 100000; exec sleep 1000; }';
    const first = tracker.belay("run", ...flags, "--", "sh", "-c", script);
    await first.says(/^100000$/m);
    await first.kill("SIGKILL");
    const second = await tracker.ends("run", ...flags, "--", "sh", "-c", script);
    expect(second.stdout).toBe("attempt 2\n");
    expect(second.code, second.stderr).toBe(0);
    expect(readdirSync(spool)).toEqual([]);
    const show = (await tracker.ends("show", "j1")).stdout;
    expect(show).toMatch(/^State +SUCCEEDED/m);
    expect(show).toMatch(/AGENT_LOST/);
    expect(show.match(/Log .*, complete/g)).toHaveLength(2);
    const lost = (await tracker.ends("logs", "--stream", "stdout", "--attempt", "1", "j1")).stdout;
    expect(lost).toBe(`attempt 1\n${Array.from({ length: 100_000 }, (_, i) => `${i + 1}\n`).join("")}`);
    expect((await tracker.ends("logs", "j1")).stdout).toBe("attempt 2\n");
  });

  it("keeps records that a lost tracker did not confirm, and prints how to deliver them", async () => {
    const tracker = await TrackerProcess.start();
    const spool = await tempDirectory();
    const script = "echo ready; read -r _ < fifo; seq 1 3000000";
    const cwd = await tempDirectory();
    execFileSync("mkfifo", [`${cwd}/fifo`]);
    const flags = ["--job", "j1", "--spool-dir", spool, "--flush-timeout", "300ms", "--cwd", cwd];
    const run = tracker.belay("run", ...flags, "--", "sh", "-c", script);
    await run.says(/^ready$/m);
    await tracker.cli.kill("SIGKILL");
    execFileSync("sh", ["-c", `echo go > ${cwd}/fifo`]);
    expect(await run.ended).toBe(125);
    expect(run.stderr).toContain(`belay flush ${spool}`);

    const again = await TrackerProcess.start({ data: tracker.data, listen: new URL(tracker.url).host });
    const flushed = await belayEnds(["flush", spool, "--tracker", again.url]);
    expect(flushed.stdout).toBe("Delivered  job j1, attempt 1\n");
    const expected = `ready\n${Array.from({ length: 3_000_000 }, (_, i) => `${i + 1}\n`).join("")}`;
    expect(sha((await again.ends("logs", "--stream", "stdout", "j1")).stdoutBytes)).toBe(sha(expected));
    expect((await again.ends("show", "j1")).stdout).toMatch(/^State +SUCCEEDED/m);
  });
});

describe("A secret of the job's environment", () => {
  it("is in none of its output, arguments or metrics, and the tracker's log is still complete", async () => {
    const tracker = await TrackerProcess.start();
    const script =
      'printf "a %s b\\n" "$API_TOKEN"; echo later-secret-42 >> "$BELAY_REDACT"; echo "x later-secret-42 y" >&2';
    const env = ["--env", "API_TOKEN=tok-123456789"];
    const run = await tracker.ends("run", "--job", "j1", ...env, "--", "sh", "-c", script, "tok-123456789");
    expect(run.stdout).toBe("a *** b\n");
    expect(run.stderr).toContain("x *** y\n");
    const logs = (await tracker.ends("logs", "j1")).stdout;
    expect(logs).toContain("a *** b\n");
    expect(logs).toContain("x *** y\n");
    expect((await tracker.ends("show", "j1")).stdout).toMatch(/Log .*, complete/);
  });
});

describe("A log limit", () => {
  it("cuts the log with a notice, does not harm the job, and is shown by belay show", async () => {
    const tracker = await TrackerProcess.start();
    const run = await tracker.ends("run", "--job", "j1", "--log-limit", "1000", "--quiet", "--", "seq", "1", "100000");
    expect(run.code).toBe(0);
    const stdout = (await tracker.ends("logs", "--stream", "stdout", "--raw", "j1")).stdout;
    expect(stdout.startsWith("1\n2\n3\n")).toBe(true);
    const logs = (await tracker.ends("logs", "j1")).stdout;
    expect(logs).toContain("Log limit of 1000 B reached: later output is not kept");
    expect((await tracker.ends("show", "j1")).stdout).toMatch(/^State +SUCCEEDED/m);
  });
});

describe("The machine's temporary directory", () => {
  it("has no files of an agent that has ended", async () => {
    const tracker = await TrackerProcess.start();
    const temp = await tempDirectory();
    const run = belay(["run", "--tracker", tracker.url, "--job", "j1", "--", "sh", "-c", 'echo "$BELAY_REDACT"'], {
      env: { TMPDIR: temp, NODE_DISABLE_COMPILE_CACHE: "1" },
    });
    expect(await run.ended).toBe(0);
    expect(run.stdout.startsWith(temp)).toBe(true);
    expect(run.stderr).toBe("");
    expect(readdirSync(temp)).toEqual([]);
    expect((await tracker.ends("logs", "--stream", "agent", "j1")).stdout).toBe("");
  });

  it("has no files of an agent soon after it was killed", async () => {
    const tracker = await TrackerProcess.start();
    const temp = await tempDirectory();
    const run = belay(["run", "--tracker", tracker.url, "--", "sh", "-c", "echo ready; exec sleep 1000"], {
      env: { TMPDIR: temp, NODE_DISABLE_COMPILE_CACHE: "1" },
    });
    await run.says(/^ready$/m);
    expect(readdirSync(temp)).not.toEqual([]);
    await run.kill("SIGKILL");
    while (readdirSync(temp).length > 0) await wait(5);
  });
});

import { chmod, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { belay, belayEnds, tempDirectory, TrackerProcess } from "../helpers/cli.ts";

describe("belay run exits with its job's code", () => {
  it("with 0 when it succeeds, and passes its output through, byte for byte", async () => {
    const tracker = await TrackerProcess.start();
    const done = await tracker.ends("run", "--", "sh", "-c", "printf 'to stdout\\377'; echo to stderr >&2");
    expect(done.stdoutBytes).toEqual(Buffer.from("to stdout\xff", "latin1"));
    expect(done.stderr).toBe("to stderr\n");
    expect(done.code).toBe(0);
  });

  it.each([
    ["with the job's own code", 3, ["sh", "-c", "exit 3"], ""],
    ["with 128 + n when a signal ends it", 139, ["sh", "-c", "kill -SEGV $$"], "SIGSEGV"],
    ["with 127 when there is no such command", 127, ["no-such-command-anywhere"], "no-such-command-anywhere"],
  ])("%s: %i", async (_, code, command, expected) => {
    const tracker = await TrackerProcess.start();
    const done = await tracker.ends("run", "--job", "j1", "--", ...command);
    expect(done.code).toBe(code);
    expect(done.stderr).toContain(expected);
    expect((await tracker.ends("wait", "j1")).code).toBe(code);
  });

  it("with 126 when the file may not be executed", async () => {
    const tracker = await TrackerProcess.start();
    const file = path.join(await tempDirectory(), "script");
    await writeFile(file, "#!/bin/sh\n");
    await chmod(file, 0o644);
    const done = await tracker.ends("run", "--job", "j1", "--", file);
    expect(done.code).toBe(126);
    expect(done.stderr).toContain(file);
  });

  it("with 124 when the job exceeds its timeout", async () => {
    const tracker = await TrackerProcess.start();
    const done = await tracker.ends("run", "--job", "j1", "--timeout", "200ms", "--", "sleep", "1000");
    expect(done.code).toBe(124);
    expect(done.stderr).toContain("TIMED_OUT");
  });

  it("with the code of the setup step that fails, and does not run the command", async () => {
    const tracker = await TrackerProcess.start();
    const steps = ["--setup", "echo one", "--setup", "echo two >&2; exit 7", "--setup", "echo three"];
    const done = await tracker.ends("run", "--job", "j1", ...steps, "--", "echo", "main");
    expect(done.code).toBe(7);
    expect(done.stdout).toBe("one\n");
    expect(done.stderr).toMatch(/^two$/m);
    expect(done.stderr).toContain("SETUP_FAILED");
    expect((await tracker.ends("wait", "j1")).code).toBe(7);
  });
});

describe("belay run without a tracker", () => {
  it("gives up after the connect timeout with 125, and runs nothing", async () => {
    const marker = path.join(await tempDirectory(), "ran");
    const begin = performance.now();
    const address = `http://127.0.0.1:${await freePort()}`;
    const done = await belayEnds(["run", "--tracker", address, "--connect-timeout", "1s", "--", "touch", marker]);
    expect(done.code).toBe(125);
    expect(done.stderr).toMatch(
      /^belay: Cannot reach the tracker at http:\/\/127.*: connection refused; gave up after 1\.\ds$/m,
    );
    expect(performance.now() - begin).toBeGreaterThan(900);
    await expect(chmod(marker, 0o600)).rejects.toThrow("ENOENT");
  });

  it("starts the job as soon as a tracker is there", async () => {
    const port = await freePort();
    const run = belay(["run", "--tracker", `http://127.0.0.1:${port}`, "--log-level", "info", "--", "echo", "works"]);
    await TrackerProcess.start({ listen: `127.0.0.1:${port}` });
    expect(await run.ended).toBe(0);
    expect(run.stdout).toBe("works\n");
  });
});

describe("belay run whose tracker does not come back", () => {
  it("finishes the job, reports what was not delivered, and exits with 125", async () => {
    const tracker = await TrackerProcess.start();
    const gate = path.join(await tempDirectory(), "gate");
    const script = `echo ready; until [ -e ${gate} ]; do sleep 0.02; done; echo done`;
    const run = tracker.belay("run", "--flush-timeout", "500ms", "--", "sh", "-c", script);
    await run.says(/ready/);
    await tracker.cli.kill("SIGKILL");
    await writeFile(gate, "");
    expect(await run.ended).toBe(125);
    expect(run.stdout).toBe("ready\ndone\n");
    expect(run.stderr).toMatch(/^belay: Not everything reached the tracker \(/m);
  });
});

describe("belay run that is stopped from outside", () => {
  it("ends the job on SIGTERM and reports it to the tracker", async () => {
    const tracker = await TrackerProcess.start();
    const script = "trap 'echo bye; exit 9' TERM; echo ready; while :; do sleep 0.05; done";
    const run = tracker.belay("run", "--job", "j1", "--", "sh", "-c", script);
    await run.says(/ready/);
    expect(await run.kill("SIGTERM")).toBe(9);
    expect(run.stdout).toBe("ready\nbye\n");
    const shown = JSON.parse((await tracker.ends("show", "--json", "j1")).stdout);
    expect(shown).toMatchObject({ state: "JOB_STATE_CANCELED", result: { reason: "END_REASON_AGENT_STOPPED" } });
  });

  it("skips the grace period on a second signal", async () => {
    const tracker = await TrackerProcess.start();
    const script = "trap 'echo no' TERM; echo ready; while :; do sleep 0.05; done";
    const run = tracker.belay("run", "--grace", "1h", "--", "sh", "-c", script);
    await run.says(/ready/);
    run.child.kill("SIGTERM");
    await run.says(/no/);
    expect(await run.kill("SIGTERM")).toBe(137);
  });

  it("goes on when its output is no longer read", async () => {
    const tracker = await TrackerProcess.start();
    const run = tracker.belay("run", "--job", "j1", "--", "sh", "-c", "seq 1 300000; echo end");
    await run.says(/^1$/m);
    run.child.stdout?.destroy();
    expect(await run.ended).toBe(0);
    const log = await tracker.ends("logs", "--stream", "stdout", "j1");
    expect(log.stdout.endsWith("300000\nend\n")).toBe(true);
  });
});

describe("A job's directory, environment and limits", () => {
  it("are those of flags, spec file and environment file; flags override the files", async () => {
    const tracker = await TrackerProcess.start();
    const directory = await tempDirectory();
    await writeFile(path.join(directory, "vars"), "A=file\nB=file\n");
    const spec = { name: "named", command: ["sh", "-c", "pwd; echo $A $B $C $D; echo $BELAY_JOB_ID $BELAY_STEP"] };
    const run = belay(
      [
        "run",
        "--tracker",
        tracker.url,
        "--spec",
        "-",
        "--env-file",
        "vars",
        "--env",
        "B=flag",
        "--env",
        "D",
        "--cwd",
        directory,
      ],
      {
        cwd: directory,
        stdin: JSON.stringify({ ...spec, environment: { C: "spec" } }),
        env: { BELAY_JOB: "j7", D: "passed" },
      },
    );
    expect(await run.ended, run.stderr).toBe(0);
    expect(run.stdout).toBe(`${directory}\nfile flag spec passed\nj7 1\n`);
  });

  it("contain none of the agent's own settings except its tracker's address", async () => {
    const tracker = await TrackerProcess.start();
    const env = { BELAY_TRACKER: tracker.url, BELAY_JOB: "j1", BELAY_QUIET: "0", BELAY_GRACE: "9s" };
    const run = belay(["run", "--", "env"], { env });
    expect(await run.ended, run.stderr).toBe(0);
    const own = run.stdout.match(/^BELAY_[A-Z_]+/gm) ?? [];
    expect(own.filter((name) => name !== "BELAY_COOKIE").sort()).toEqual([
      "BELAY_ATTEMPT",
      "BELAY_JOB_ID",
      "BELAY_METRICS",
      "BELAY_REDACT",
      "BELAY_STEP",
      "BELAY_TRACKER",
    ]);
  });
});

it("A submitted job is run by an agent that gets only its id", async () => {
  const tracker = await TrackerProcess.start();
  const submitted = await tracker.ends("submit", "--setup", "echo prepared", "--", "echo", "works");
  const id = submitted.stdout.trim();
  expect(id).toMatch(/^[0-9a-z]{12}$/);
  expect((await tracker.ends("jobs")).stdout).toMatch(new RegExp(`^${id}\\s+PENDING`, "m"));
  const run = await tracker.ends("run", "--job", id);
  expect(run.stdout).toBe("prepared\nworks\n");
  expect(run.code).toBe(0);
});

/** A port on which nothing listens. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  const address = server.address();
  await new Promise((resolve) => {
    server.close(resolve);
  });
  return typeof address === "object" && address !== null ? address.port : 0;
}

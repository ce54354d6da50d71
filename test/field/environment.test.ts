import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { getPriority, tmpdir } from "node:os";
import path from "node:path";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Tracker } from "../../src/tracker/options.ts";
import { startTracker } from "../../src/tracker/server.ts";
import type { Finished } from "../helpers/cli.ts";
import { belayEnds, MAIN, NODE_PATH, tempDirectory } from "../helpers/cli.ts";

let tracker: Tracker;
let data: string;

beforeAll(async () => {
  data = mkdtempSync(path.join(tmpdir(), "belay-environment-"));
  tracker = await startTracker({ listen: "127.0.0.1:0", dataDirectory: data });
});

afterAll(async () => {
  await tracker.close();
  rmSync(data, { recursive: true });
});

/** Runs a job. */
function run(
  flags: readonly string[],
  command: readonly string[],
  env: Record<string, string> = {},
): Promise<Finished> {
  return belayEnds(["run", "--tracker", tracker.address, ...flags, "--", ...command], { env });
}

/** Runs a bash script in which `"$@"` is a command line of belay. */
async function shell(script: string, args: readonly string[], env: Record<string, string> = {}) {
  const child = spawn("bash", ["-c", script, "bash", MAIN, ...args], {
    env: { ...process.env, PATH: NODE_PATH, BELAY_TRACKER: tracker.address, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const [[code], stdout, stderr] = await Promise.all([once(child, "close"), text(child.stdout), text(child.stderr)]);
  return { code: code as number, stdout, stderr };
}

describe("--env-file is read by belay, never by Node", () => {
  it.each([
    ["a file", 'echo A=1 > "$DIR/file"; "$@"', "$DIR/file"],
    ["a pipe of bash", `exec 7< <(echo A=1); "$@"`, "/dev/fd/7"],
    ["standard input", 'echo A=1 | "$@"', "/dev/stdin"],
    ["a FIFO", 'mkfifo "$DIR/fifo"; echo A=1 > "$DIR/fifo" & "$@"', "$DIR/fifo"],
  ])("from %s", async (_, script, file) => {
    const directory = await tempDirectory();
    const flags = ["--env-file", file.replace("$DIR", directory)];
    const done = await shell(script, ["run", ...flags, "--", "sh", "-c", 'echo "[$A]"'], { DIR: directory });
    expect(done).toEqual({ code: 0, stdout: "[1]\n", stderr: "" });
  });

  it.each(["run", "submit"])("belay %s reports a missing file, and exits with 64", async (command) => {
    const done = await belayEnds([command, "--tracker", tracker.address, "--env-file", "/no/such", "--", "true"]);
    expect(done).toMatchObject({
      code: 64,
      stderr: `belay: Cannot read --env-file "/no/such": there is no such file\n`,
    });
  });

  it("its variables reach the job and no other process", async () => {
    const file = path.join(await tempDirectory(), "env");
    await writeFile(file, "NODE_OPTIONS=--no-such-option\nBELAY_TRACKER=http://127.0.0.1:1\nBELAY_QUIET=1\n");
    const done = await run(["--env-file", file], ["sh", "-c", 'echo "$NODE_OPTIONS"']);
    expect(done).toMatchObject({ code: 0, stdout: "--no-such-option\n", stderr: "" });
  });

  it("a start in which Node has read it is an error", async () => {
    const file = path.join(await tempDirectory(), "env");
    await writeFile(file, "A=1\n");
    const child = spawn(process.execPath, [MAIN, "run", "--env-file", file, "--", "true"]);
    const [[code], stderr] = await Promise.all([once(child, "close"), text(child.stderr)]);
    expect(code).toBe(64);
    expect(stderr).toMatch(/^belay: Cannot use --env-file: .* start the script by its own name, or with sh\n$/);
  });
});

describe("a variable for the job reaches it unchanged, and does not affect Belay", () => {
  // In the agent, each of these would make Node or a library fail, write a file, or print.
  const variables = {
    NODE_OPTIONS: "--no-such-option",
    NODE_EXTRA_CA_CERTS: "/no/such.pem",
    NODE_TLS_REJECT_UNAUTHORIZED: "0",
    NODE_DEBUG: "net,http2,child_process,module",
    NODE_DEBUG_NATIVE: "async_wrap,mksnapshot",
    NODE_V8_COVERAGE: "coverage",
    NODE_PATH: "/no/such",
    NODE_ICU_DATA: "/no/such",
    NODE_REDIRECT_WARNINGS: "warnings",
    NODE_PENDING_DEPRECATION: "1",
    NODE_UNIQUE_ID: "7",
    NODE_TEST_CONTEXT: "child-v8",
    OPENSSL_CONF: "/no/such.cnf",
    OPENSSL_MODULES: "/no/such",
    SSL_CERT_FILE: "/no/such.pem",
    UV_THREADPOOL_SIZE: "1",
    GRPC_TRACE: "all",
    GRPC_VERBOSITY: "DEBUG",
    GRPC_NODE_TRACE: "all",
    GRPC_DEFAULT_SSL_ROOTS_FILE_PATH: "/no/such.pem",
    LOG_TOKENS: "1",
    LOG_STREAM: "1",
    FORCE_COLOR: "3",
    "my.name": "with a dot",
    "my-name": "two\nlines",
    "BASH_FUNC_greet%%": "() { echo hello; }",
    "1st": "ü",
  };

  it("all of them at once", async () => {
    const directory = await tempDirectory();
    const spec = path.join(directory, "spec.yaml");
    await writeFile(spec, `command: [env, "-0"]\n`);
    const args = ["run", "--tracker", tracker.address, "--spec", spec];
    const done = await belayEnds(args, { env: variables, cwd: directory });
    expect(done).toMatchObject({ code: 0, stderr: "" });
    const given = new Map(done.stdout.split("\0").map((entry) => entry.split(/=(.*)/s) as [string, string]));
    expect(Object.fromEntries(given)).toMatchObject(variables);
    expect([...given.keys()].filter((name) => name.startsWith("BELAY_LAUNCH"))).toEqual([]);
    expect(await readdir(directory)).toEqual(["spec.yaml"]);
  });

  it("NODE_CHANNEL_FD alone is left out: the descriptor that it names does not reach the job", async () => {
    const done = await run([], ["env"], { NODE_CHANNEL_FD: "77" });
    expect(done).toMatchObject({ code: 0, stderr: "" });
    expect(done.stdout).not.toContain("NODE_CHANNEL_FD");
  });

  it("belay jobs and belay tracker are started without them as well", async () => {
    const env = { NODE_OPTIONS: "--no-such-option", OPENSSL_CONF: "/no/such", NODE_CHANNEL_FD: "77" };
    expect(await belayEnds(["jobs", "--tracker", tracker.address], { env })).toMatchObject({ code: 0, stderr: "" });
    const help = await belayEnds(["tracker", "--help"], { env: { ...env, FORCE_COLOR: "1", CLICOLOR_FORCE: "1" } });
    expect(help).toMatchObject({ code: 0, stderr: "" });
    expect(help.stdout).not.toContain("\x1b");
  });
});

/** Removes the line that dash and bash print when they start in a deleted directory. */
function withoutShells(stderr: string): string {
  return stderr.replace(/^.*getcwd.*\n/gm, "");
}

describe("from a directory that was deleted", () => {
  const gone = 'mkdir "$DIR/gone"; cd "$DIR/gone"; rmdir "$DIR/gone"; ';

  it.each([
    ["belay run runs the job there, as a shell would", ["run", "--", "sh", "-c", "echo here"], 0, /^here\n$/, /^$/],
    ["belay run --cwd runs it elsewhere", ["run", "--cwd", "/", "--", "pwd"], 0, /^\/\n$/, /^$/],
    [
      "a relative --cwd makes the job fail",
      ["run", "--cwd", "sub", "--", "true"],
      126,
      /^$/,
      /^belay: Job \S+ FAILED \(SPAWN_FAILED\): Cannot use the working directory "sub": it does not exist \(ENOENT\)\nbelay: Hint: The directory must be there.*\n$/,
    ],
    [
      "a relative --spool-dir causes a warning",
      ["run", "--spool-dir", "spool", "--", "echo", "here"],
      0,
      /^here\n$/,
      /^\S+ warn {2}Cannot write to the spool directory "spool\/[-0-9a-f]+": the working directory was deleted\. [^\n]*\n$/,
    ],
    ["belay submit records a job", ["submit", "--", "true"], 0, /^\w+\n$/, /^$/],
    ["belay jobs lists", ["jobs"], 0, /^JOB /, /^$/],
    ["belay completion prints", ["completion", "bash"], 0, /^_belay/, /^$/],
    [
      "belay tracker reports the missing directory, and ends",
      ["tracker", "--listen", "127.0.0.1:0"],
      125,
      /^$/,
      /^belay: Cannot make the data directory "\.\/belay-data": the working directory was deleted\n$/,
    ],
    [
      "belay config reports the missing directory",
      ["config", "set", "ca", "relative.pem"],
      125,
      /^$/,
      /^belay: Cannot go on: the working directory was deleted; change to another one\n$/,
    ],
  ])("%s", async (_, args, code, stdout, stderr) => {
    const directory = await tempDirectory();
    const env = { DIR: directory, BELAY_CONTEXT: path.join(directory, "context.json") };
    const done = await shell(`${gone}"$@"`, args, env);
    expect(done.code).toBe(code);
    expect(done.stdout).toMatch(stdout);
    expect(withoutShells(done.stderr)).toMatch(stderr);
  });
});

describe("a temporary directory that a step empties", () => {
  it.each([
    ["the directory's content", 'rm -rf "$TMPDIR"/*'],
    ["the directory itself", 'rm -rf "$TMPDIR"'],
  ])("%s: every later step runs", async (_, setup) => {
    const temp = path.join(await tempDirectory(), "temp");
    await mkdir(temp);
    const flags = ["--setup", setup, "--setup", "echo two"];
    const done = await run(flags, ["sh", "-c", "echo main; echo error >&2"], { TMPDIR: temp });
    expect(done).toMatchObject({ code: 0, stdout: "two\nmain\n" });
    // The agent may warn that there is no directory for $BELAY_REDACT any more.
    expect(done.stderr.replace(/^.* warn .*\$BELAY_REDACT.*\n/gm, "")).toBe("error\n");
  });

  it("$BELAY_METRICS and $BELAY_REDACT work again in the next step, and no file is left behind", async () => {
    const temp = await tempDirectory();
    const job = 'echo loss=1 >> "$BELAY_METRICS" && echo dont-show-this >> "$BELAY_REDACT" && echo dont-show-this';
    const env = { TMPDIR: temp, NODE_DISABLE_COMPILE_CACHE: "1" };
    const done = await run(["--setup", 'rm -rf "$TMPDIR"/*'], ["sh", "-c", job], env);
    expect(done).toMatchObject({ code: 0, stdout: "***\n", stderr: "" });
    expect(await readdir(temp)).toEqual([]);
  });

  it("a relative TMPDIR starts at the directory in which belay was started, also for the job and its watcher", async () => {
    const directory = await tempDirectory();
    await mkdir(path.join(directory, "t"));
    const args = ["run", "--tracker", tracker.address, "--cwd", "/", "--", "sh", "-c", 'echo "$BELAY_METRICS"'];
    const done = await belayEnds(args, { cwd: directory, env: { TMPDIR: "t", NODE_DISABLE_COMPILE_CACHE: "1" } });
    expect(done.stdout).toContain(path.join(directory, "t"));
    expect(await readdir(path.join(directory, "t"))).toEqual([]);
  });
});

describe("a job inherits the settings of the process that started the agent", () => {
  const own = (show: string): string[] => ["run", "--", "sh", "-c", show];

  it.each([
    ["the soft limit of open files", 'ulimit -Sn 1000; "$@"', "ulimit -Sn", "1000"],
    ["a soft limit that is too low for the agent", 'ulimit -Sn 20; "$@"', "ulimit -Sn", "20"],
    ["the hard limit", 'ulimit -n 900; "$@"', "ulimit -Hn", "900"],
    ["other limits", 'ulimit -c 0; ulimit -s 4096; "$@"', 'echo "$(ulimit -c) $(ulimit -s)"', "0 4096"],
    ["the umask", 'umask 0027; "$@"', "umask", "0027"],
    ["the niceness", 'nice -n 3 "$@"', "nice", String(getPriority() + 3)],
    ["signals ignored by nohup", 'nohup "$@"', "grep SigIgn /proc/$$/status", "SigIgn:\t0000000000000001"],
    ["signals ignored by trap", `trap '' USR2 INT; "$@"`, "grep SigIgn /proc/$$/status", "SigIgn:\t0000000000000802"],
    ["never SIGPIPE", `trap '' PIPE; "$@"`, "grep SigIgn /proc/$$/status", "SigIgn:\t0000000000000000"],
    ["never its stop signal", `trap '' TERM; "$@"`, "grep SigIgn /proc/$$/status", "SigIgn:\t0000000000000000"],
    ["a command line that looks like an option", 'ulimit -Sn 1000; "$@"', "echo -- --version", "-- --version"],
  ])("%s", async (_, script, show, shown) => {
    expect(await shell(script, own(show))).toMatchObject({ code: 0, stdout: `${shown}\n` });
  });

  it("signals blocked", async () => {
    // Started by env, because dash cannot block a signal.
    const done = await shell('env --block-signal=USR1 "$@"', ["run", "--", "grep", "SigBlk", "/proc/self/status"]);
    expect(done).toMatchObject({ code: 0, stdout: "SigBlk:\t0000000000000200\n" });
  });

  it("a variable with a name that no shell keeps, and the soft limit", async () => {
    const done = await shell('ulimit -Sn 1000; env "a.b=1" "$@"', ["run", "--", "env"]);
    expect(done.stdout).toMatch(/^a\.b=1$/m);
  });

  it("and a command that cannot be started still has an exit code of its own", async () => {
    const done = await shell('ulimit -Sn 1000; "$@"', ["run", "--", "no-such-command"]);
    expect(done).toMatchObject({ code: 127, stderr: expect.stringContaining("(SPAWN_FAILED)") });
  });
});

describe("belay inside a job", () => {
  it("uses the job's tracker, and gets no credentials", async () => {
    const token = path.join(await tempDirectory(), "token");
    await writeFile(token, "operator-token\n");
    const done = await run(["--token-file", token], ["sh", "-c", '"$0" jobs --json | head -c 1; env', MAIN]);
    expect(done).toMatchObject({ code: 0, stderr: "" });
    expect(done.stdout).toMatch(/^\{/);
    expect(done.stdout).toMatch(new RegExp(`^BELAY_TRACKER=${tracker.address}$`, "m"));
    expect(done.stdout).not.toContain("TOKEN");
  });

  it("uses the tracker that the spec's environment names, if it does", async () => {
    const done = await run(["--env", "BELAY_TRACKER=unix:/elsewhere"], ["printenv", "BELAY_TRACKER"]);
    expect(done).toMatchObject({ code: 0, stdout: "unix:/elsewhere\n" });
  });
});

describe("an error shows which tracker was called, and where its address comes from", () => {
  const gone = "http://127.0.0.1:1";
  it.each([
    ["BELAY_TRACKER", {}, `Job "none" does not exist (tracker %s, from BELAY_TRACKER)`],
    ["belay config", { BELAY_TRACKER: "" }, `Job "none" does not exist (tracker %s, from belay config)`],
  ])("from %s", async (_, env, message) => {
    const context = path.join(await tempDirectory(), "context.json");
    await writeFile(context, JSON.stringify({ tracker: tracker.address }));
    const done = await shell('"$@"', ["logs", "none"], { BELAY_CONTEXT: context, ...env });
    expect(done.stderr).toBe(`belay: ${message.replace("%s", tracker.address)}\n`);
  });

  it("except if the address is on the command line", async () => {
    const done = await shell('"$@"', ["logs", "none", "--tracker", tracker.address], { BELAY_TRACKER: gone });
    expect(done.stderr).toBe(`belay: Job "none" does not exist\n`);
  });

  it("also for an agent that reaches no tracker", async () => {
    const done = await shell('"$@"', ["run", "--connect-timeout", "300ms", "--", "true"], { BELAY_TRACKER: gone });
    expect(done.code).toBe(125);
    expect(done.stderr).toMatch(/\(tracker http:\/\/127\.0\.0\.1:1, from BELAY_TRACKER\)\n$/);
  });
});

const isRoot = process.getuid?.() === 0;
/** Starts a command as a user without an entry in /etc/passwd, who must be able to read the program and Node. */
const stranger = ["setpriv", "--reuid=12345", "--regid=12345", "--clear-groups"];
const hasStranger =
  isRoot && spawnSync(stranger[0] ?? "", [...stranger.slice(1), process.execPath, MAIN, "--version"]).status === 0;
/** Mounts over /tmp and /run must not hide the program. */
const canUnshare = isRoot && !/^\/(tmp|run)\//.test(MAIN) && spawnSync("unshare", ["-m", "true"]).status === 0;

describe("in a hostile environment, a job runs, or one sentence names what is missing", () => {
  const ok = { code: 0, stdout: "ok\n", stderr: "" };
  const says = (stderr: string, code = 125) => ({ code, stdout: "", stderr: `belay: ${stderr}\n` });

  it.each([
    ["HOME unset", 'unset HOME; "$@"', ok],
    ["HOME empty", 'HOME= "$@"', ok],
    ["HOME a file", 'HOME=/etc/passwd "$@"', ok],
    ["HOME relative", 'HOME=x "$@"', ok],
    ["TMPDIR missing", 'TMPDIR=/no/such "$@"', ok],
    ["TMPDIR a file", 'TMPDIR=/etc/passwd "$@"', ok],
    ["TMPDIR without space for a file", 'TMPDIR=/proc "$@"', ok],
    ["LANG and LC_ALL of no locale", 'LANG=xx_YY.bogus LC_ALL=C.bogus "$@" 2> >(grep -v setlocale >&2)', ok],
    ["TZ of no zone", 'TZ=Mars/Olympus "$@"', ok],
    ["TERM of no terminal", 'TERM=bogus COLUMNS=x LINES=-1 "$@"', ok],
    ["PATH that holds node alone", 'PATH="$NODE_BIN" "$@"', ok],
    [
      "PATH without node",
      'PATH=/no/such "$@"',
      says('Cannot start: there is no "node" on PATH "/no/such"; install Node 22.18 or later'),
    ],
    ["few files", 'ulimit -n 60; "$@"', ok],
    ["too few files", 'ulimit -n 20; "$@"', says("Cannot start: it may open 20 files (ulimit -Hn), and needs 60")],
    ["a small stack", 'ulimit -s 200; "$@"', ok],
    ["no files may be written", 'ulimit -f 0; "$@"', ok],
    [
      "a small address space",
      'ulimit -v 1000000; "$@"',
      says("Cannot start: its address space is limited to 1000000 KiB (ulimit -v), and Node needs 2000000"),
    ],
    [
      "a large environment",
      `for i in 1 2 3 4 5; do export "V$i=$(head -c 100000 /dev/zero | tr '\\0' x)"; done; "$@"`,
      ok,
    ],
    ["closed standard input", '"$@" <&-', ok],
    ["closed outputs", '"$@" >&- 2>&-', { ...ok, stdout: "" }],
  ])("%s", async (_, script, expected) => {
    const temp = await tempDirectory();
    const env = { TMPDIR: temp, NODE_DISABLE_COMPILE_CACHE: "1", NODE_BIN: path.dirname(process.execPath) };
    expect(await shell(script, ["run", "--", "/bin/sh", "-c", "echo ok"], env)).toEqual(expected);
    expect(await readdir(temp)).toEqual([]);
  });

  it.skipIf(!hasStranger)("a user without an entry in /etc/passwd, and without HOME", async () => {
    const script = `unset HOME; ${stranger.join(" ")} "$@"`;
    // Without a code cache: this user cannot use the one of another.
    const env = { TMPDIR: "/dev/shm", NODE_DISABLE_COMPILE_CACHE: "1" };
    expect(await shell(script, ["run", "--", "sh", "-c", "echo ok"], env)).toEqual(ok);
    expect(await shell(script, ["jobs", "--state", "running"], env)).toMatchObject({
      code: 0,
      stderr: "No job matches.\n",
    });
    expect(await shell(script, ["config", "set", "tracker", "http://127.0.0.1:1"], env)).toEqual(
      says("Cannot save settings: this user has no home directory; set HOME or BELAY_CONTEXT", 64),
    );
  });

  it.skipIf(!hasStranger)("a working directory that the user may not enter any more", async () => {
    const env = { DIR: await tempDirectory(), TMPDIR: "/dev/shm", NODE_DISABLE_COMPILE_CACHE: "1" };
    const script = `mkdir "$DIR/x"; cd "$DIR/x"; chmod 000 .; HOME=/ ${stranger.join(" ")} "$@"`;
    expect(await shell(script, ["run", "--", "sh", "-c", "echo ok"], env)).toEqual(ok);
  });

  it.skipIf(!canUnshare).each([
    ["no /proc", 'mount -t tmpfs t /proc; "$@"', ["run", "--", "sh", "-c", "echo ok"], ok],
    ["no /sys", 'mount -t tmpfs t /sys; "$@"', ["run", "--", "sh", "-c", "echo ok"], ok],
    ["no /dev", 'mount -t tmpfs t /dev; "$@" <&-', ["jobs"], says("Cannot start: there is no /dev/null")],
    [
      "no directory for temporary files",
      'for d in /tmp /dev/shm /run; do mount -t tmpfs -o ro t $d; done; "$@"',
      ["run", "--", "sh", "-c", "echo ok"],
      says(
        'Cannot make a temporary directory: expected a place for one, found "/tmp": the file system is read-only; "/dev/shm": the file system is read-only; "/run": the file system is read-only',
        64,
      ),
    ],
    [
      "a data directory on a file system that is read-only",
      'mount -t tmpfs -o ro t /mnt; "$@"',
      ["tracker", "--listen", "127.0.0.1:0", "--data", "/mnt/data"],
      says('Cannot make the data directory "/mnt/data": the file system is read-only'),
    ],
  ])("%s", async (_, script, args, expected) => {
    const env = { TMPDIR: "/tmp", NODE_DISABLE_COMPILE_CACHE: "1", SCRIPT: script };
    expect(await shell(`unshare -m bash -c "$SCRIPT" bash "$@"`, args, env)).toEqual(expected);
  });
});

describe("a file of invalid YAML is reported without the library's advice", () => {
  it.each([
    ["a spec", ["run", "--spec", "FILE", "--", "true"], "Cannot use the spec FILE:2: "],
    ["a file of flags", ["tracker", "--config", "FILE"], 'Cannot read "FILE:2" as YAML: '],
  ])("%s with two documents", async (_, args, start) => {
    const file = path.join(await tempDirectory(), "two.yaml");
    await writeFile(file, "name: a\n---\nname: b\n");
    const done = await belayEnds(args.map((arg) => arg.replace("FILE", file)));
    const message = `${start.replace("FILE", file)}expected one document, found a second one after "---"`;
    expect(done).toMatchObject({ code: 64, stderr: `belay: ${message}\n` });
  });
});

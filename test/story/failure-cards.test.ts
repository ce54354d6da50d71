import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { countOomKillsAround } from "../../src/agent/job/tree/memory-control.ts";
import { makeContainment } from "../../src/agent/job/tree/containment.ts";
import { TrackerProcess } from "../helpers/cli.ts";

const noPython = spawnSync("python3", ["-c", ""]).status === 0 ? undefined : "there is no python3";
const noLimit = memoryProblem();
const countsKills = noLimit === undefined || countOomKillsAround()() !== undefined;

function memoryProblem(): string | undefined {
  const { tree } = makeContainment("auto");
  const problem = tree.limitMemory(1 << 30);
  tree.close();
  return problem;
}

const scripts = mkdtempSync(join(tmpdir(), "belay-cards-"));
writeFileSync(join(scripts, "train.py"), 'def f(x):\n    raise ValueError("bad " + x)\nf("hunter2-hunter2")\n');
afterAll(() => rmSync(scripts, { recursive: true }));

interface Case {
  readonly name: string;
  /** Flags of `belay run`, and the command. */
  readonly run: readonly string[];
  /** Why it is not tried here. */
  readonly skip?: string | undefined;
  /** What the card says: all of the facts and the tail that `belay show` has for it. */
  readonly card: string;
}

const CASES: readonly Case[] = [
  {
    name: "a program that crashed",
    run: ["--", "perl", "-e", '$| = 1; print "loading\\n"; print unpack "p", pack "L!", 1'],
    card: `
  Result      SIGSEGV after TIME
  Class       JOB
  Message     Main command was ended by SIGSEGV
  Hint        SIGSEGV means that native code accessed memory that is not its own, in the program or in a library that it loaded
  Last lines of standard output
    | loading
`,
  },
  {
    name: "an exception of Python",
    skip: noPython,
    run: ["--env", "API_TOKEN=hunter2-hunter2", "--cwd", scripts, "--", "python3", "train.py"],
    card: `
  Result      exit code 1 after TIME
  Class       JOB
  Message     Main command exited with code 1
  Hint        Python raised ValueError: bad ***
  Last lines of standard error
    | Traceback (most recent call last):
    |   File "${scripts}/train.py", line 3, in <module>
    |     f("***")
    |   File "${scripts}/train.py", line 2, in f
    |     raise ValueError("bad " + x)
    | ValueError: bad ***
`,
  },
  {
    name: "a job that needed more memory than its limit",
    skip: noLimit,
    run: ["--memory-limit", "64MiB", "--", "perl", "-e", '$x = "a" x 200_000_000; print "done"'],
    card: `
  Result      OOM_KILLED, SIGKILL after TIME
  Class       JOB
  Message     Main command was ended by SIGKILL: the kernel ran out of memory for the job and killed 1 process of it
  Memory      SIZE at most, limit 64.0 MiB
  Killed      perl (pid N), by the kernel for want of memory
  Hint        The job needed more memory than its limit of 64.0 MiB: raise --memory-limit, or have it use less
`,
  },
  {
    name: "SIGKILL from outside, which is not called out of memory",
    run: ["--", "sh", "-c", "echo I am $$; exec sleep 300"],
    card: `
  Result      SIGKILL after TIME
  Class       JOB
  Message     Main command was ended by SIGKILL, which the agent did not send${countsKills ? "" : "; whether the machine was out of memory cannot be known here"}
  Hint        Something outside of Belay sent SIGKILL: ${
    countsKills
      ? "a user, a scheduler, or the job itself; the kernel did not kill it for want of memory"
      : "a user, a scheduler, the job itself, or the kernel for want of memory, which is not counted here but is in its log (dmesg)"
  }
  Last lines of standard output
    | I am N
`,
  },
  {
    name: "a command that is not there",
    run: ["--env", "PATH=/usr/bin:/bin", "--", "trian", "--epochs", "3"],
    card: `
  Result      SPAWN_FAILED
  Class       JOB
  Message     Cannot start "trian": no such program on PATH "/usr/bin:/bin" (ENOENT)
  Hint        Install it on the machine of the agent, add its directory to the job's PATH, or give the program with its directory
`,
  },
  {
    name: "a time-out",
    run: ["--timeout", "1s", "--", "sh", "-c", "echo epoch 1; echo epoch 2; exec sleep 300"],
    card: `
  Result      TIMED_OUT, SIGTERM after TIME
  Class       JOB
  Message     Main command ran longer than its timeout of 1.0s
  Hint        The last line that it printed is "epoch 2"; raise --timeout (1.0s) if the work needs longer
  Last lines of standard output
    | epoch 1
    | epoch 2
`,
  },
  {
    name: "a setup step whose command is missing",
    run: ["--setup", "true", "--setup", "echo installing; npn-ci", "--", "true"],
    card: `
  Result      SETUP_FAILED, exit code 127 after TIME
  Class       JOB
  Message     Setup step 2 "echo installing; npn-ci" exited with code 127
  Hint        The shell did not find "npn-ci": install it on the machine of the agent, or check the path and PATH
  Last lines of standard error
    | /bin/sh: 1: npn-ci: not found
`,
  },
];

/** What `belay run --quiet` wrote to standard error for a command that fails, and for one that succeeds. */
let quiet: string[] = [];
/** What `belay show` prints for each case, and what `belay run` and `belay wait` wrote to standard error. */
const shown = new Map<string, { readonly show: string; readonly run: string; readonly wait: string }>();

beforeAll(async () => {
  const tracker = await TrackerProcess.start();
  const quietly = ["echo epoch 1; echo bad >&2; exit 3", "echo fine"].map((script, i) =>
    tracker.ends("run", "--quiet", "--job", `q${i}`, "--", "sh", "-c", script),
  );
  const tried = CASES.filter(({ skip }) => skip === undefined);
  await Promise.all(
    tried.map(async ({ name, run: words }, index) => {
      const job = `j${index}`;
      const run = tracker.belay("run", "--job", job, ...words);
      if (name.startsWith("SIGKILL")) process.kill(Number((await run.says(/^I am (\d+)$/m))[1]), "SIGKILL");
      await run.ended;
      const [show, wait] = await Promise.all([tracker.ends("show", job), tracker.ends("wait", job)]);
      shown.set(name, { show: show.stdout, run: run.stderr, wait: wait.stderr });
    }),
  );
  quiet = (await Promise.all(quietly)).map(({ stdout, stderr }) => stdout + stderr);
});

/** The lines of an attempt that make up its card, with what differs from run to run replaced. */
function cardIn(show: string): string {
  const lines = show.split("\n");
  const facts = lines.filter((line) => /^ {2}(Result|Class|Message|Memory|Killed|Hint) /.test(line));
  const tail = lines.findIndex((line) => line.startsWith("  Last lines"));
  const card = ["", ...facts, ...(tail < 0 ? [""] : lines.slice(tail))].join("\n");
  return card
    .replace(/ after [\d.]+m?s$/m, " after TIME")
    .replace(/[\d.]+ MiB at most/, "SIZE at most")
    .replace(/pid \d+/, "pid N")
    .replace(/I am \d+/, "I am N");
}

describe("The failure card that belay show prints for", () => {
  for (const { name, skip, card } of CASES) {
    it.skipIf(skip !== undefined)(`${name}${skip === undefined ? "" : ` (not tried: ${skip})`}`, () => {
      expect(cardIn(shown.get(name)?.show ?? "")).toBe(card);
    });
  }
});

describe("Of the card", () => {
  it("belay run prints the hint: the output stands above it", () => {
    const { run = "" } = shown.get("a time-out") ?? {};
    expect(run.replace(/ after [\d.]+m?s/, " after TIME")).toBe(
      "belay: Job j5 FAILED (TIMED_OUT, SIGTERM after TIME): Main command ran longer than its timeout of 1.0s\n" +
        'belay: Hint: The last line that it printed is "epoch 2"; raise --timeout (1.0s) if the work needs longer\n',
    );
  });

  it("belay run --quiet prints the tail, and nothing of a job that succeeds", () => {
    expect(quiet.map((text) => text.replace(/ after [\d.]+m?s/, " after TIME"))).toEqual([
      "belay: Job q0 FAILED (exit code 3 after TIME)\nLast lines of standard error\n  | bad\n",
      "",
    ]);
  });

  it("belay wait prints all", () => {
    expect(shown.get("a time-out")?.wait).toBe(
      "Last lines of standard output\n  | epoch 1\n  | epoch 2\n" +
        'belay: Hint: The last line that it printed is "epoch 2"; raise --timeout (1.0s) if the work needs longer\n',
    );
  });
});

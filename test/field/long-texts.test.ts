import { writeFile } from "node:fs/promises";
import path from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import { EndReason, runAgent, SpawnFailureKind } from "../../src/index.ts";
import { startTestTracker, type TestTracker } from "../../src/testing/index.ts";
import { belayEnds, type Finished, tempDirectory } from "../helpers/cli.ts";

/** Longest argument or variable that the kernel accepts (MAX_ARG_STRLEN), without the NUL. Bytes. */
const MOST = 128 * 1024 - 1;
/** Longest message of Belay, with the name of the program in front of it. Characters. */
const LONGEST_MESSAGE = 2100;

let directory: string;
beforeEach(async () => {
  directory = await tempDirectory();
});

async function run(tracker: TestTracker, spec: object, ...args: string[]): Promise<Finished> {
  const file = path.join(directory, "spec.json");
  await writeFile(file, JSON.stringify(spec));
  return belayEnds(["run", "--tracker", tracker.url, "--job", "j", "--spec", file, ...args]);
}

const x = (bytes: number): string => "x".repeat(bytes);
const touch = { setup: [{ name: "first", run: "echo ran" }] };

describe.skipIf(process.platform !== "linux")(
  "a text that is too long for the kernel is named, with its size and the limit",
  () => {
    it.each<[string, object, string]>([
      ["an argument", { ...touch, command: ["true", "a", x(MOST + 1)] }, `argument 2 has ${MOST + 1} bytes`],
      [
        "an argument in another script",
        { command: ["true", "ü".repeat(MOST / 2 + 1)] },
        `argument 1 has ${MOST + 1} bytes`,
      ],
      ["a variable", { command: ["true"], environment: { BIG: x(MOST) } }, `variable "BIG" has ${MOST + 4} bytes`],
      [
        "the name of a variable",
        { command: ["true"], environment: { [x(MOST + 1)]: "" } },
        `variable "${x(66)}…${x(33)}" has ${MOST + 2} bytes`,
      ],
    ])("%s", async (_, spec, what) => {
      await using tracker = await startTestTracker();
      const { code, stdout, stderr } = await run(tracker, spec);
      const sentence = `Cannot start "true": ${what}, of which the kernel takes at most ${MOST} (E2BIG)`;
      const hint = "the kernel limits the length of arguments and variables, and of all together";
      expect(stderr).toBe(
        `belay: Job j FAILED (SPAWN_FAILED): ${sentence}\nbelay: Hint: Pass the data in a file: ${hint}\n`,
      );
      // No setup step has run before the failure.
      expect(stdout).toBe("");
      expect(code).toBe(126);
      const { job } = await tracker.client.getJob({ jobId: "j" });
      expect(job?.result?.spawnFailure?.kind).toBe(SpawnFailureKind.ARGUMENTS_TOO_LONG);
    });

    it("the text of a setup step", async () => {
      await using tracker = await startTestTracker();
      const { stderr } = await run(tracker, { setup: [{ run: `: ${x(MOST)}` }], command: ["true"] });
      expect(stderr).toContain(`argument 2 has ${MOST + 2} bytes, of which the kernel takes at most ${MOST}`);
      expect(stderr.length).toBeLessThan(LONGEST_MESSAGE);
      const { job } = await tracker.client.getJob({ jobId: "j" });
      expect(job?.result?.reason).toBe(EndReason.SETUP_FAILED);
    });

    it("all of them together, and the largest", async () => {
      await using tracker = await startTestTracker({
        limits: { specBytes: 8 * 1024 * 1024 },
      });
      // Beyond a quarter of the usual 8 MiB stack; where the stack is larger, beyond three quarters of 8 MiB.
      const environment = Object.fromEntries(Array.from({ length: 60 }, (_, i) => [`V${i}`, x(58_000 + i)]));
      const options = { tracker: tracker.url, jobId: "j", environment: { PATH: process.env["PATH"], ...environment } };
      const spec = {
        command: ["true"],
        environment: Object.fromEntries(Object.entries(environment).map(([k, v]) => [`W${k}`, v])),
      };
      const { result } = await runAgent({ ...options, spec });
      expect(result.message).toMatch(
        /^Cannot start "true": arguments and environment have \d{7} bytes, of which the kernel takes at most \d+ \(a quarter of "ulimit -s"\); the largest, variable "WV59", has 58064 \(E2BIG\)$/,
      );
    });

    it("but the longest that fits is run", async () => {
      await using tracker = await startTestTracker();
      const command = ["sh", "-c", "echo ${#1} ${#BIG}", "sh", x(MOST)];
      const { stdout, stderr } = await run(tracker, { command, environment: { BIG: x(MOST - 4) } });
      expect(stderr).toBe("");
      expect(stdout).toBe(`${MOST} ${MOST - 4}\n`);
    });
  },
);

describe("a text of any length that a message quotes is cut in the middle", () => {
  const long = `begin-${x(100_000)}-end`;
  it.each<[string, string[]]>([
    ["a command", ["run", "--", long]],
    ["a flag's value", ["run", "--timeout", long, "--", "true"]],
    ["a flag", ["run", `--${long}`]],
    ["a command of belay", [long]],
    ["a working directory", ["run", "--cwd", `/${long}`, "--", "true"]],
    ["a file", ["run", "--spec", `/${long}`]],
    ["an environment file", ["run", "--env-file", `/${long}`, "--", "true"]],
    ["a job", ["show", long]],
    ["an address", ["jobs", "--tracker", long]],
    ["a data directory", ["tracker", "--listen", "127.0.0.1:0", "--data", `/dev/null/${long}`]],
    ["a listening address", ["tracker", "--listen", long, "--data", "/dev/null/x"]],
  ])("%s", async (_, args) => {
    await using tracker = await startTestTracker();
    const flags = ["run", "show"].includes(args[0] ?? "") ? ["--tracker", tracker.url] : [];
    const [command = "", ...rest] = args;
    const { stdout, stderr, code } = await belayEnds([command, ...flags, ...rest]);
    expect(stderr).toContain("…");
    expect(stderr.length).toBeLessThan(LONGEST_MESSAGE);
    expect(stderr).toContain("begin-");
    expect(stderr).not.toContain("bug in Belay");
    expect(stdout).toBe("");
    expect(code).not.toBe(0);
  });
});

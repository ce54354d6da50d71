import { execFile, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import path from "node:path";
import { expect, it } from "vitest";
import { MAIN, tempDirectory, TrackerProcess } from "../helpers/cli.ts";

const FULL = { code: 125, stderr: "belay: Cannot write to standard output: the disk is full\n" };

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a line of shell in which `$B` is the built command. */
function shell(line: string): Promise<Ended> {
  const env = { ...process.env, B: `${process.execPath} ${MAIN}` };
  return new Promise((resolve) => {
    const child = execFile("sh", ["-c", line], { env }, (_, stdout, stderr) => {
      resolve({ code: child.exitCode ?? -1, stdout, stderr });
    });
  });
}

it.skipIf(!existsSync("/dev/full"))(
  "A command whose output cannot be written reports it and exits with 125",
  async () => {
    const tracker = await TrackerProcess.start();
    const script = "echo hi; echo loss=1 >> $BELAY_METRICS";
    await tracker.ends("run", "--job", "j1", "--quiet", "--", "sh", "-c", script);
    const keys = path.join(await tempDirectory(), "keys");
    await writeFile(keys, `${"k".repeat(43)}\n`);
    const at = `--tracker ${tracker.url}`;
    const lines = [
      "--help",
      "logs --help",
      "completion bash",
      `show ${at} j1`,
      `jobs ${at}`,
      `jobs --json ${at}`,
      `logs ${at} j1`,
      `logs -f -t ${at} j1`,
      `metrics --csv ${at} j1`,
      `metrics -f --json ${at} j1`,
      `wait ${at} j1`,
      `status ${at} j1`,
      `submit ${at} -- true`,
      `run ${at} -- echo hi`,
      `token --token-keys ${keys} j1`,
    ];
    const answers = await Promise.all(lines.map((line) => shell(`$B ${line} > /dev/full`)));
    const found = answers.map(({ code, stderr }, index) => ({ line: lines[index], code, stderr: stderr.slice(-58) }));
    expect(found).toEqual(lines.map((line) => ({ line, ...FULL, stderr: FULL.stderr })));
  },
);

it("A failed command or job keeps its exit code when its output cannot be written", async () => {
  expect(await shell("$B nonsense 2> /dev/full")).toMatchObject({ code: 64 });
  const tracker = await TrackerProcess.start();
  const run = await shell(`$B run --tracker ${tracker.url} -- sh -c 'echo hi; exit 7' > /dev/full`);
  expect(run).toEqual({ code: 7, stdout: "", stderr: FULL.stderr });
  const onError = await shell(`$B run --tracker ${tracker.url} -- sh -c 'echo hi >&2' 2> /dev/full`);
  expect(onError).toMatchObject({ code: 125 });
  expect((await tracker.ends("jobs")).stdout).toMatch(/SUCCEEDED/);
});

it("A reader that closes its end is not an error", async () => {
  const tracker = await TrackerProcess.start();
  await tracker.ends("run", "--job", "j1", "--quiet", "--", "seq", "200000");
  for (const line of [`logs --tracker ${tracker.url} j1`, `run --tracker ${tracker.url} -- seq 200000`]) {
    const { stdout, stderr } = await shell(`{ $B ${line}; echo "exit $?" >&2; } | head -n 1`);
    expect({ stdout, stderr }).toEqual({ stdout: "1\n", stderr: "exit 0\n" });
  }
});

const noMount =
  spawnSync("unshare", ["-m", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]).status === 0 ? undefined : "needs a mount";

it.skipIf(noMount !== undefined)("A write that a full disk cuts short is an error", async () => {
  const line = "mount -t tmpfs -o size=4k tmpfs /mnt; $B run --help > /mnt/help; echo $?; stat -c %s /mnt/help";
  expect(await shell(`unshare -m sh -c '${line}'`)).toEqual({
    code: 0,
    stdout: "125\n4096\n",
    stderr: FULL.stderr,
  });
});

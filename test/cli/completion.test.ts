import { spawnSync } from "node:child_process";
import { chmod, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { runInProcess } from "../helpers/in-process.ts";
import { someSpec, testDirectory, testTracker } from "../helpers/tracker.ts";

async function words(typed: readonly string[], env: Record<string, string> = {}): Promise<string[]> {
  const { code, stdout } = await runInProcess(["completion", "words", "--", ...typed], {
    BELAY_CONTEXT: "/nowhere/context.json",
    ...env,
  });
  expect(code).toBe(0);
  return stdout === "" ? [] : stdout.trimEnd().split("\n");
}

describe("A word is completed", () => {
  test.each<[string, string[], string[]]>([
    ["a command", ["can"], ["cancel"]],
    ["a flag", ["logs", "--ti"], ["--timestamps"]],
    ["a flag's value", ["logs", "--stream", "std"], ["stdout", "stderr"]],
    ["a flag's value that the help names otherwise", ["run", "--log-level", "de"], ["debug"]],
    ["a state", ["jobs", "--state", "ru"], ["running"]],
    ["what one of two forms begins with", ["run", "--on-disconnect", "c"], ["continue", "cancel-after="]],
    ["a signal", ["run", "--stop-signal", "TE"], ["TERM"]],
    ["a signal that warns", ["run", "--warn-signal", "USR"], ["USR1", "USR2"]],
    ["a signal by its whole name", ["signal", "train-1", "SIGUS"], ["SIGUSR1", "SIGUSR2"]],
    ["a signal by its short name", ["signal", "--json", "train-1", "US"], ["USR1", "USR2"]],
    ["an action", ["config", "u"], ["unset"]],
    ["a setting", ["config", "set", "tok"], ["token-file"]],
    ["a shell", ["completion", "z"], ["zsh"]],
    ["nothing of a command that takes no other program", ["show", "j1", "--", "l"], []],
    ["nothing of another program's", ["run", "--", "ls", "--al"], []],
    ["nothing of an unknown command", ["dance", ""], []],
  ])("%s", async (_, typed, expected) => {
    expect(await words(typed)).toEqual(expected);
  });

  test("a job's id, from the tracker that flag or variable names, once and no more", async () => {
    const { address, jobs } = await testTracker();
    for (const jobId of ["train-1", "train-2", "other"]) await jobs.createJob({ jobId, spec: someSpec });
    expect(await words(["show", "--tracker", address, "tra"])).toEqual(["train-2", "train-1"]);
    expect(await words(["cancel", "--wait", "tra"], { BELAY_TRACKER: address })).toEqual(["train-2", "train-1"]);
    expect(await words(["metrics", "--name", "loss", "tra"], { BELAY_TRACKER: address })).toEqual([
      "train-2",
      "train-1",
    ]);
    expect(await words(["submit", "--like", "tra"], { BELAY_TRACKER: address })).toEqual(["train-2", "train-1"]);
    expect(await words(["run", "--job", "oth"], { BELAY_TRACKER: address })).toEqual(["other"]);
    expect(await words(["show", "train-1", ""], { BELAY_TRACKER: address })).toEqual([]);
    expect(await words(["show", ""], { BELAY_TRACKER: "http://127.0.0.1:1" })).toEqual([]);
  });
});

test("A program is completed behind --, from the search path", async () => {
  const directory = await testDirectory();
  for (const name of ["train-fast", "train-slow", "other"]) await writeFile(join(directory, name), "", { mode: 0o755 });
  const env = { PATH: `/no/such/directory:${directory}` };
  expect(await words(["run", "--job", "j1", "--", "tra"], env)).toEqual(["train-fast", "train-slow"]);
  expect(await words(["submit", "--", "o"], env)).toEqual(["other"]);
  expect(await words(["run", "--", "./tra"], env)).toEqual([]);
  expect(await words(["run", "--", "train-fast", "o"], env)).toEqual([]);
});

test("A script for bash hands over what was typed, and takes what comes back", async () => {
  const directory = await testDirectory();
  const { stdout: script } = await runInProcess(["completion", "bash"]);
  const belay = join(directory, "belay");
  await writeFile(belay, '#!/bin/sh\nprintf "%s|" "$@" >&3\necho one\necho two\n');
  await chmod(belay, 0o755);
  const program = `exec 3>&1; PATH=${directory}:$PATH; ${script}
COMP_WORDS=(belay show "") COMP_CWORD=2; _belay; echo; echo "\${COMPREPLY[1]}"`;
  const { stdout, status } = spawnSync("bash", ["-c", program], { encoding: "utf8" });
  expect([status, stdout]).toEqual([0, "completion|words|--|show||\ntwo\n"]);
});

test("zsh and fish have scripts, other shells a clear word", async () => {
  expect((await runInProcess(["completion", "zsh"])).stdout).toMatch(/^compdef _belay belay$/m);
  expect((await runInProcess(["completion", "fish"])).stdout).toMatch(/^complete -c belay/m);
  expect((await runInProcess(["completion", "tcsh"])).stderr).toMatch(
    /Cannot complete for "tcsh": expected bash, zsh, fish/,
  );
});

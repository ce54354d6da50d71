import { spawnSync } from "node:child_process";
import { chmod, writeFile } from "node:fs/promises";
import path from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { TrackerProcess, tempDirectory } from "../helpers/cli.ts";

const MAIN = path.resolve(import.meta.dirname, "../../dist/cli/main.js");
const TIMEOUT_MS = 30_000;

/** How each shell is tested: the program gets lines that end at the cursor, and prints their completions. */
const SHELLS: Readonly<Record<string, { readonly args: string[]; readonly program: string }>> = {
  bash: {
    args: ["--norc", "--noprofile", "-c"],
    program: `source <(belay completion bash)
for line in "$@"; do
  read -ra COMP_WORDS <<<"$line"
  [[ $line == *" " ]] && COMP_WORDS+=("")
  COMP_CWORD=$((\${#COMP_WORDS[@]} - 1))
  COMPREPLY=()
  _belay
  echo "\${COMPREPLY[*]}"
done`,
  },
  fish: {
    args: ["--no-config", "-c"],
    program: `belay completion fish | source
for line in $argv[2..]
  echo (complete -C $line)
end`,
  },
  // zsh completes only at a terminal: it gets its own, in which a key completes the line and writes it to a file.
  zsh: {
    args: ["-f", "-c"],
    program: `zmodload zsh/zpty
mkfifo line
exec 3<>line
zpty shell zsh -f -i
zpty -w shell 'autoload -Uz compinit; compinit -u -D; source <(belay completion zsh)
hand-over() { zle complete-word; print -r -- "$BUFFER" > line }; zle -N hand-over; bindkey "^T" hand-over'
for line in "$@"; do
  zpty -n -w shell "$line"$'\\x14'
  read -r completed <&3
  print -r -- "$completed"
  zpty -n -w shell $'\\x15'
done
zpty -d shell`,
  },
};

/** Returns the completions of lines. */
type Ask = (...lines: string[]) => string[];

let ask: (shell: string) => Ask;

beforeEach(async () => {
  const tracker = await TrackerProcess.start();
  for (const job of ["train-1", "train-2", "other"]) await tracker.ends("submit", "--job", job, "--", "true");
  const directory = await tempDirectory();
  const belay = path.join(directory, "belay");
  await writeFile(belay, `#!/bin/sh\nexec "${process.execPath}" "${MAIN}" "$@"\n`);
  await chmod(belay, 0o755);
  await writeFile(path.join(directory, "spec.yaml"), "");
  const env = {
    PATH: `${directory}:${process.env["PATH"] ?? ""}`,
    HOME: directory,
    TERM: "xterm",
    BELAY_TRACKER: tracker.url,
    BELAY_CONTEXT: path.join(directory, "context.json"),
  };
  ask = (shell) => {
    const { args = [], program = "" } = SHELLS[shell] ?? {};
    return (...lines) => {
      const { stdout, stderr, status } = spawnSync(shell, [...args, program, shell, ...lines], {
        cwd: directory,
        env,
        encoding: "utf8",
        timeout: TIMEOUT_MS,
      });
      if (status !== 0) throw new Error(`${shell} ended with ${status}: ${stderr}`);
      return stdout.trimEnd().split("\n");
    };
  };
});

function missing(shell: string): string | undefined {
  return spawnSync(shell, ["--version"]).status === 0 ? undefined : `this machine has no ${shell}`;
}

describe("A user who presses Tab in a real shell", { timeout: TIMEOUT_MS }, () => {
  const lines = [
    "belay canc",
    "belay show oth",
    "belay cancel --wait tr",
    "belay logs --timest",
    "belay logs --stream stdo",
    "belay signal train-1 WINC",
    "belay run -- bela",
  ];
  /** bash and fish return the offered words; zsh's terminal shows the line completed by their common prefix. */
  const cases: [string, string[]][] = [
    ["bash", ["cancel", "other", "train-2 train-1", "--timestamps", "stdout", "WINCH", "belay"]],
    ["fish", ["cancel", "other", "train-2 train-1", "--timestamps", "stdout", "WINCH", "belay"]],
    [
      "zsh",
      [
        "belay cancel",
        "belay show other",
        "belay cancel --wait train-",
        "belay logs --timestamps",
        "belay logs --stream stdout",
        "belay signal train-1 WINCH",
        "belay run -- belay",
      ],
    ],
  ];
  for (const [shell, completed] of cases) {
    const why = missing(shell);
    test.skipIf(why !== undefined)(
      `${shell} completes commands, flags, their values and ids of jobs${why === undefined ? "" : `: not tested, ${why}`}`,
      () => {
        expect(ask(shell)(...lines)).toEqual(completed);
      },
    );
    // In bash, `-o default` in the script's last line does this, but only at a prompt.
    if (shell === "bash") continue;
    test.skipIf(why !== undefined)(
      `${shell} offers files where a file is expected, and no files together with ids${why === undefined ? "" : `: not tested, ${why}`}`,
      () => {
        const [file, id] = ask(shell)("belay run --spec spe", "belay show ");
        expect(file).toMatch(/(^|--spec )spec\.yaml$/);
        expect(id).not.toContain("spec.yaml");
        expect(ask(shell)("belay run -- echo spe")[0]).toMatch(/(^|echo )spec\.yaml$/);
      },
    );
  }
});

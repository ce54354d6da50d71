import { spawn } from "node:child_process";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readLogBytes, startTestTracker, type TestTracker } from "../../src/testing/index.ts";
import { MAIN } from "../helpers/cli.ts";

let tracker: TestTracker;
let directory: string;
beforeAll(async () => {
  tracker = await startTestTracker();
  directory = await mkdtemp(path.join(tmpdir(), "belay-bytes-"));
});
afterAll(async () => {
  await tracker.close();
  await rm(directory, { recursive: true, force: true });
});

/** Runs a script of bash, whose `$'\xe9'` makes bytes that Node cannot pass. `belay` is the built command. */
async function bash(script: string): Promise<{ code: number | null; out: Buffer; err: string }> {
  const begin = `belay() { "$BELAY" "$@"; }\ncd "$DIRECTORY"\n`;
  const child = spawn("bash", ["-c", begin + script], {
    env: {
      PATH: `${path.dirname(process.execPath)}:${process.env["PATH"]}`,
      HOME: directory,
      BELAY: MAIN,
      BELAY_TRACKER: tracker.url,
      DIRECTORY: directory,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const out: Buffer[] = [];
  let err = "";
  child.stdout.on("data", (chunk: Buffer) => out.push(chunk));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (err += text));
  const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
  return { code, out: Buffer.concat(out), err };
}

const latin1 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("latin1");
const utf8AsLatin1 = (text: string): string => latin1(Buffer.from(text));

describe("a variable that is not UTF-8 reaches the job unchanged", () => {
  const all = Array.from({ length: 255 }, (_, index) => `\\x${(index + 1).toString(16).padStart(2, "0")}`).join("");
  it.each([
    ["one byte", "X=$'caf\\xe9'", 'printf %s "$X"', "caf\xe9"],
    [
      "beside a real U+FFFD",
      "X=$'\\xef\\xbf\\xbd\\xe9\\xef\\xbf\\xbd'",
      'printf %s "$X"',
      `${utf8AsLatin1("\ufffd")}\xe9${utf8AsLatin1("\ufffd")}`,
    ],
    ["a real U+FFFD alone", "X=$'\\xef\\xbf\\xbd'", 'printf %s "$X"', utf8AsLatin1("\ufffd")],
    ["a cut character at its end", "X=$'caf\\xc3'", 'printf %s "$X"', "caf\xc3"],
    ["newlines at its end", "X=$'\\xe9\\n\\n'", 'printf %s "$X"', "\xe9\n\n"],
    [
      "characters with a meaning for a shell or printf(1)",
      "X=$'\\xe9%s%%\\\\n\\'\"$(echo no)`'",
      'printf %s "$X"',
      "\xe9%s%%\\n'\"$(echo no)`",
    ],
    [
      "every byte but NUL",
      `X=$'${all}'`,
      'printf %s "$X"',
      String.fromCharCode(...Array.from({ length: 255 }, (_, i) => i + 1)),
    ],
    [
      "and others beside it",
      "X=$'\\xe9' Y='a b' BELAY_EXACT=1 Z=ü",
      'printf %s "$X$Y$Z"',
      `\xe9a b${utf8AsLatin1("ü")}`,
    ],
    ["a variable that is hidden from Node", "NODE_OPTIONS=$'--x=\\xe9'", 'printf %s "$NODE_OPTIONS"', "--x=\xe9"],
    ["and no variable of Belay's own is left", "X=$'\\xe9'", "env | grep -c BELAY_EXACT; :", "0\n"],
  ])("%s", async (_, assignment, command, expected) => {
    const { out, err } = await bash(`${assignment} belay run -- sh -c ${quoted(command)}`);
    expect(err).toBe("");
    expect(latin1(out)).toBe(expected);
  });

  it("with a name that is not UTF-8, or that no shell can set, and in a setup step", async () => {
    const script = `env $'caf\\xe9=1' my.key=2 $'my.raw=\\xe8' X=$'\\xe9' "$BELAY" run --job names --setup 'printf "[%s]" "$X"' -- env`;
    const { out, err } = await bash(script);
    expect(err).toBe("");
    const lines = latin1(out).split("\n");
    expect(lines).toEqual(expect.arrayContaining(["caf\xe9=1", "my.key=2", "my.raw=\xe8", "X=\xe9"]));
    expect(latin1(out)).toContain("[\xe9]");
    expect(latin1(await readLogBytes(tracker.client, "names"))).toBe(latin1(out));
  });

  it("on a PATH that is not UTF-8, the program is found, sees its own name, and gives its exit code", async () => {
    const { code, out } = await bash(
      `mkdir -p $'bin\\xe9'; printf '#!/bin/bash\\necho "$0" "$@"; exit 7\\n' > $'bin\\xe9/tool'; chmod +x $'bin\\xe9/tool'
       PATH="$DIRECTORY/"$'bin\\xe9'":$PATH" belay run -- tool a 'b c'`,
    );
    expect(latin1(out)).toBe(`${directory}/bin\xe9/tool a b c\n`);
    expect(code).toBe(7);
  });

  it("and a secret that is not UTF-8 is masked", async () => {
    const { out } = await bash(
      `MY_PASSWORD=$'geheim\\xe9\\xe8\\xe7geheim' belay run -- sh -c 'printf "<%s>" "$MY_PASSWORD"'`,
    );
    expect(latin1(out)).toMatch(/^<\*+>$/);
  });
});

describe("a directory whose name is not UTF-8", () => {
  it.each([
    ["the job runs where belay was started", "belay run -- sh -c 'echo here > made; printf %s \"$PWD\"'", "caf\xe9"],
    [
      "or in one below",
      "mkdir -p below; belay run --cwd below -- sh -c 'echo here > made; printf %s \"$PWD\"'",
      "caf\xe9/below",
    ],
  ])("%s", async (_, command, where) => {
    const { out, err } = await bash(
      `mkdir -p $'caf\\xe9' && cd $'caf\\xe9' && ${command} && [ -e "$(printf %s "$PWD")" ]`,
    );
    expect(err).toBe("");
    expect(latin1(out)).toBe(`${directory}/${where}`);
  });

  it("holds a tracker's data and an agent's spool, by a relative path", async () => {
    const { code, err } = await bash(`
      mkdir -p $'data\\xe9' && cd $'data\\xe9'
      "$BELAY" tracker --listen unix:sock --data d 2> log & tracker=$!
      until grep -q listening log || ! kill -0 $tracker; do sleep 0.05; done
      "$BELAY" run --spool-dir spool --job spooled -- true
      kill $tracker; wait $tracker
      [ -e d/belay.db ] && ! belay config set ca c.pem 2> err && grep -q 'not UTF-8, ".*data.xe9"' err`);
    expect(err).toBe("");
    expect(code).toBe(0);
    // No directory was made under the name that Node would show.
    expect((await readdir(directory, "latin1")).filter((name) => name.startsWith("data"))).toEqual(["data\xe9"]);
  });
});

describe("a text that cannot be passed on unchanged is rejected before anything runs", () => {
  beforeAll(async () => {
    await writeFile(path.join(directory, "latin1.env"), Buffer.from("A=1\nB=caf\xe9\n", "latin1"));
    await writeFile(path.join(directory, "latin1.yaml"), Buffer.from("command: [echo, caf\xe9]\n", "latin1"));
    await mkdir(path.join(directory, "refused"));
  });

  it.each([
    [
      "an argument of the command",
      "run -- printf %s $'caf\\xe9'",
      'Cannot use argument 5 "caf\\xe9" of the command line: expected UTF-8',
    ],
    [
      "a cut character",
      "run -- $'\\xf0\\x9f\\x98'",
      'Cannot use argument 3 "\\xf0\\x9f\\x98" of the command line: expected UTF-8',
    ],
    [
      "--cwd",
      "run --cwd $'caf\\xe9' -- touch refused/x",
      'Cannot use argument 3 "caf\\xe9" of the command line: expected UTF-8',
    ],
    [
      "--cwd=",
      "run --cwd=$'caf\\xe9' -- touch refused/x",
      'Cannot use argument 2 "--cwd=caf\\xe9" of the command line: expected UTF-8',
    ],
    ["--spool-dir", "run --spool-dir $'caf\\xe9' -- touch refused/x", 'Cannot use argument 3 "caf\\xe9"'],
    ["--token-file", "jobs --token-file $'caf\\xe9'", 'Cannot use argument 3 "caf\\xe9"'],
    ["--data", "tracker --listen 127.0.0.1:0 --data $'caf\\xe9'", 'Cannot use argument 5 "caf\\xe9"'],
    ["--env", "run --env $'A=caf\\xe9' -- touch refused/x", 'Cannot use argument 3 "A=caf\\xe9"'],
    ["--label", "submit --label $'A=caf\\xe9' -- true", 'Cannot use argument 3 "A=caf\\xe9"'],
    ["a job's id", "show $'caf\\xe9'", 'Cannot use argument 2 "caf\\xe9"'],
    ["a command of belay", "$'\\xe9'", 'Cannot use argument 1 "\\xe9"'],
    [
      "a file of variables",
      "run --env-file latin1.env -- touch refused/x",
      'Cannot use --env-file "latin1.env": line 2 is not UTF-8',
    ],
    ["a spec", "run --spec latin1.yaml", "Cannot use the spec latin1.yaml: line 1 is not UTF-8"],
    [
      "a tracker's configuration",
      "tracker --config latin1.yaml",
      'Cannot use --config "latin1.yaml": line 1 is not UTF-8',
    ],
  ])("%s", async (_, args, message) => {
    const { code, out, err } = await bash(`"$BELAY" ${args}`);
    expect(err).toContain(`belay: ${message}`);
    expect(err.trim().split("\n")).toHaveLength(1);
    expect(latin1(out)).toBe("");
    expect(code).toBe(64);
    expect(await readdir(path.join(directory, "refused"))).toEqual([]);
  });

  it.each([
    ["BELAY_DATA=$'caf\\xe9'", "tracker --listen 127.0.0.1:0", 'Cannot use BELAY_DATA "caf\\xe9": expected UTF-8'],
    ["BELAY_CWD=$'caf\\xe9'", "run -- true", 'Cannot use BELAY_CWD "caf\\xe9": expected UTF-8'],
    ["X=$'caf\\xe9'", "run --env X -- true", "Cannot pass on --env X: its value is not UTF-8"],
  ])("%s belay %s", async (variable, args, message) => {
    const { code, err } = await bash(`${variable} "$BELAY" ${args}`);
    expect(err).toContain(message);
    expect(code).toBe(64);
  });

  it("but a real U+FFFD is passed on", async () => {
    const { code, out } = await bash(`belay run -- printf %s $'\\xef\\xbf\\xbd'`);
    expect(out.toString("utf8")).toBe("\ufffd");
    expect(code).toBe(0);
  });
});

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

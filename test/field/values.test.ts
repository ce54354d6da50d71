import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { tempDirectory } from "../helpers/cli.ts";
import { runInProcess } from "../helpers/in-process.ts";
import { testTracker } from "../helpers/tracker.ts";

const NOWHERE = { BELAY_TRACKER: "http://127.0.0.1:1", BELAY_CONNECT_TIMEOUT: "1ms" };

/** The error for a command line that cannot be used. */
async function refusal(args: readonly string[], env: Record<string, string> = {}): Promise<string> {
  const done = await runInProcess(args, { ...NOWHERE, ...env });
  expect(done).toMatchObject({ code: 64, stdout: "" });
  return done.stderr;
}

describe("A flag is rejected that", () => {
  it.each([
    ["--cwd", ["run", "--cwd", "", "--", "true"]],
    ["--name", ["submit", "--name=", "--", "true"]],
    ["--spec", ["run", "--spec", ""]],
    ["--job", ["run", "--job", "", "--", "true"]],
    ["--spool-dir", ["run", "--spool-dir", "", "--", "true"]],
    ["--env-file", ["run", "--env-file", "", "--", "true"]],
    ["--redact-env", ["run", "--redact-env", "", "--", "true"]],
    ["--label", ["run", "--label", "", "--", "true"]],
    ["--tracker", ["jobs", "--tracker", ""]],
    ["--token-file", ["jobs", "--token-file", ""]],
    ["--reason", ["cancel", "--reason", "", "j1"]],
    ["--grep", ["logs", "--grep", "", "j1"]],
    ["--name", ["metrics", "--name", "", "j1"]],
    ["--data", ["tracker", "--data", ""]],
    ["--listen", ["tracker", "--listen", ""]],
  ])("is empty: %s", async (flag, args) => {
    expect(await refusal(args)).toMatch(new RegExp(`^belay: Cannot use ${flag} "": `));
  });

  it.each([
    ["run", "--timeout", "0.4ms"],
    ["run", "--setup-timeout", "0.0001s"],
    ["run", "--flush-timeout", "0.3ms"],
    ["wait", "--timeout", "0.49ms"],
    ["tracker", "--lease", "0.1ms"],
    ["jobs", "--connect-timeout", "0.000001m"],
  ])("is a duration which would round to no limit: %s %s %s", async (command, flag, value) => {
    const text = await refusal([command, flag, value, ...(command === "wait" ? ["j1"] : [])]);
    expect(text).toBe(`belay: Cannot parse ${flag} "${value}": expected at least 1ms, or 0\n`);
  });

  it.each([
    "2026-02-30T00:00:00Z",
    "2026-02-30",
    "2025-02-29",
    "2026-04-31T10:00:00+02:00",
    "2026-13-01",
    "2026-00-10",
    "2026-01-00",
    "2026-01-01T24:30:00Z",
    "2026-01-01T10:60:00Z",
    "2026-01-01T10:00:61Z",
    "2026-01-01T10:00:00+99:00",
    "2026-01-01 and so on",
    "2026-1-1",
  ])("is a time that does not exist: %s", async (time) => {
    for (const [command, flag] of [["logs", "--since"] as const, ["metrics", "--until"] as const]) {
      expect(await refusal([command, flag, time, "j1"])).toBe(
        `belay: Cannot use ${flag} "${time}": expected a date or time that exists, such as 2026-11-22T08:00:00Z\n`,
      );
    }
  });

  it.each([
    ["--label", ["run", "--label", "__proto__=x", "--", "true"]],
    ["--agent-label", ["run", "--agent-label", "__proto__=x", "--", "true"]],
    ["--env", ["submit", "--env", "__proto__=x", "--", "true"]],
    ["--label", ["jobs", "--label", "__proto__=x"]],
  ])("has a key which would be lost: %s", async (flag, args) => {
    expect(await refusal(args)).toMatch(new RegExp(`^belay: Cannot use ${flag} "__proto__=x": expected `));
  });
});

it("Names of JavaScript's own object members are labels like any other, also in files", async () => {
  const { address } = await testTracker();
  const directory = await tempDirectory();
  const file = path.join(directory, "spec.yaml");
  writeFileSync(file, "command: [true]\nlabels: { valueOf: a }\nenvironment: { toString: b }\n");
  const labels = ["--label", "constructor=c", "--label", "hasOwnProperty=d"];
  const env = { BELAY_TRACKER: address };
  expect(await runInProcess(["submit", "--job", "j1", "--spec", file, ...labels], env)).toMatchObject({ code: 0 });
  const { job } = JSON.parse(`{"job":${(await runInProcess(["show", "--json", "j1"], env)).stdout}}`) as {
    job: { spec: { labels: Record<string, string>; environment: Record<string, string> } };
  };
  expect(job.spec.labels).toEqual({ valueOf: "a", constructor: "c", hasOwnProperty: "d" });
  expect(Object.entries(job.spec.environment)).toEqual([["toString", "b"]]);
  expect((await runInProcess(["jobs", "--label", "toString=x"], env)).stdout).not.toContain("j1");
  expect((await runInProcess(["jobs", "--label", "constructor=c"], env)).stdout).toContain("j1");
  for (const text of ["labels: { __proto__: a }", "environment: { __proto__: a }"]) {
    writeFileSync(file, `command: [true]\n${text}\n`);
    expect(await runInProcess(["submit", "--spec", file], env)).toMatchObject({
      code: 64,
      stderr: expect.stringMatching(/spec\.yaml:2.*__proto__/),
    });
  }
});

it("The variable of a repeatable flag is split at commas without a backslash before them", async () => {
  const { address } = await testTracker();
  const env = { BELAY_TRACKER: address, BELAY_LABEL: String.raw`note=a\,b,k=v` };
  await runInProcess(["submit", "--job", "j1", "--", "true"], env);
  const shown = (await runInProcess(["show", "--json", "j1"], { BELAY_TRACKER: address })).stdout;
  expect(JSON.parse(shown)).toMatchObject({ spec: { labels: { k: "v", note: "a,b" } } });
  const unescaped = await runInProcess(["submit", "--", "true"], { ...env, BELAY_LABEL: "note=a,b" });
  expect(unescaped).toMatchObject({ code: 64, stderr: 'belay: Cannot use BELAY_LABEL "b": expected KEY=VALUE\n' });
  expect((await runInProcess(["submit", "--help"], {})).stdout).toContain(String.raw`\, is a`);
});

describe("A file of saved flags is rejected at once that", () => {
  it.each([
    ["is a list", "[]", "expected an object with settings"],
    ["is a text", '"x"', "expected an object with settings"],
    ["is null", "null", "expected an object with settings"],
    ["is empty", "", "it is not JSON"],
    ["is cut short", '{"tracker": "ht', "it is not JSON"],
    [
      "has a misspelt setting",
      '{"trackr": "x"}',
      /it has a setting "trackr", expected tracker, .*did you mean "tracker"/,
    ],
    ["has a setting of every object", '{"__proto__": "x"}', /it has a setting "__proto__", expected/],
    ["has an object as a setting", '{"tracker": {}}', 'its setting "tracker" is not a text'],
  ])("%s", async (_, text, why) => {
    const file = path.join(await tempDirectory(), "context.json");
    writeFileSync(file, text);
    const message = await refusal(["jobs"], { BELAY_CONTEXT: file });
    const [, found = message] =
      /^belay: Cannot use ".*context\.json" for saved flags: (.*); belay config writes it$/m.exec(message) ?? [];
    expect(found).toMatch(typeof why === "string" ? new RegExp(`^${why}$`) : why);
  });

  it("is a pipe, a directory or a device", async () => {
    const directory = await tempDirectory();
    const pipe = path.join(directory, "pipe");
    execFileSync("mkfifo", [pipe]);
    mkdirSync(path.join(directory, "directory"));
    for (const file of [pipe, path.join(directory, "directory"), "/dev/null"]) {
      expect(await refusal(["jobs"], { BELAY_CONTEXT: file })).toContain("it is not a regular file");
    }
  });
});

it.each([
  ["a blank", "good-token\n\n# a comment\nmy secret token\n", "line 4", "it contains a blank"],
  ["a tab", "my\tsecret\n", "line 1", "it contains a blank"],
  [
    "a letter that is not allowed in a header",
    "good\ngeheimnisvoll-ä\n",
    "line 2",
    "it contains a character that is not printable ASCII",
  ],
])("A token file is rejected that has %s within a line; the line is not shown", async (_, text, line, why) => {
  const file = path.join(await tempDirectory(), "tokens");
  writeFileSync(file, text);
  const data = await tempDirectory();
  const start = (flag: string): Promise<string> =>
    refusal(["tracker", "--listen", "127.0.0.1:0", "--data", data, flag, file]);
  for (const flag of ["--agent-tokens", "--operator-tokens", "--token-keys"]) {
    expect(await start(flag)).toBe(
      `belay: Cannot use ${line} of ${flag} "${file}": ${why}; expected one token or key a line\n`,
    );
  }
  for (const command of ["jobs", "run"]) {
    const message = await refusal([command, "--token-file", file, ...(command === "run" ? ["--", "true"] : [])]);
    expect(message).toMatch(/^belay: Cannot use --token-file ".*": expected one line of printable ASCII/);
    expect(message).not.toContain("secret");
  }
});

import { describe, expect, it } from "vitest";
import type { Command } from "../../../src/cli/flags/command.ts";
import { command } from "../../../src/cli/flags/command.ts";
import { choice, count, duration, grouped, many, pairs, size, text, toggle } from "../../../src/cli/flags/flags.ts";
import { parseCommand } from "../../../src/cli/flags/parse.ts";

const example: Command = command({
  name: "example",
  args: [{ name: "[command...]", help: "what to run" }],
  about: "An example.",
  takesCommandLine: true,
  flags: grouped("General", {
    tracker: text({ value: "URL", default: "http://x", help: "where" }),
    connectTimeout: duration({ default: "10s", help: "how long" }),
    limit: size({ help: "how much" }),
    tail: count({ short: "n", help: "how many" }),
    mode: choice(["block", "drop"], { default: "block", help: "how" }),
    label: pairs({ separator: ",", help: "label" }),
    setup: many({ separator: "", help: "step" }, (given) => given),
    json: toggle({ help: "for programs" }),
    once: toggle({ variable: false, help: "for one call" }),
    old: toggle({ hidden: true, help: "the older name" }),
  }),
  examples: [
    ["belay example -- echo", "says nothing"],
    ["belay example --mode drop --limit 10MiB --label a=1 --label b=2 -- echo", "says nothing, at length"],
  ],
  run: () => Promise.resolve(0),
});

function parse(argv: string[], env: Record<string, string> = {}) {
  const parsed = parseCommand(example, argv, env);
  if ("help" in parsed) throw new Error("help was asked for");
  return parsed;
}

describe("a flag's value", () => {
  it("comes from the command line, else from the environment, else from the default", () => {
    const env = { BELAY_CONNECT_TIMEOUT: "20s" };
    expect(parse(["--connect-timeout", "30s"], env).flags["connectTimeout"]).toBe(30_000);
    expect(parse([], env).flags["connectTimeout"]).toBe(20_000);
    expect(parse([]).flags["connectTimeout"]).toBe(10_000);
  });

  it("counts as given from either place", () => {
    expect([...parse(["--tail", "3"], { BELAY_MODE: "drop" }).given].sort()).toEqual(["mode", "tail"]);
  });

  it("is one of several when the flag is repeated; a variable is split", () => {
    expect(parse(["--label", "a=1", "--label", "b=2=3"]).flags["label"]).toEqual([
      ["a", "1"],
      ["b", "2=3"],
    ]);
    expect(parse([], { BELAY_LABEL: "a=1,b=2" }).flags["label"]).toEqual([
      ["a", "1"],
      ["b", "2"],
    ]);
    expect(parse([], { BELAY_SETUP: "echo a, b\necho c" }).flags["setup"]).toEqual(["echo a, b\necho c"]);
  });

  it("may be an empty variable, which counts as not set", () => {
    expect(parse([], { BELAY_TAIL: "" }).flags["tail"]).toBeUndefined();
  });

  it("comes from no variable where the flag makes sense for one call only", () => {
    expect(parse([], { BELAY_ONCE: "1" }).flags["once"]).toBe(false);
    expect(parse(["--once"]).flags["once"]).toBe(true);
  });

  it.each([
    ["1", true],
    ["true", true],
    ["0", false],
    ["no", false],
  ])("of a switch may be %s in the environment", (given, read) => {
    expect(parse([], { BELAY_JSON: given }).flags["json"]).toBe(read);
  });
});

describe("a mistake in flags is answered with one sentence", () => {
  it.each([
    [["--conect-timeout", "5s"], `Unknown flag "--conect-timeout" of belay example: did you mean "--connect-timeout"?`],
    [["--zzzzzz"], `Unknown flag "--zzzzzz" of belay example: see belay example --help`],
    [["--tracker"], /^Flag "--tracker <URL>" needs a value/],
    [["--connect-timeout", "5x"], `Cannot parse --connect-timeout "5x": expected a duration such as "5s" or "500ms"`],
    [["--limit", "much"], /^Cannot parse --limit "much"/],
    [["--tail", "-1"], `Cannot use --tail "-1": expected a whole number such as 10`],
    [["--mode", "burn"], `Cannot use --mode "burn": expected block, drop`],
    [["--label", "novalue"], `Cannot use --label "novalue": expected KEY=VALUE`],
  ] as const)("%j", (argv, message) => {
    expect(() => parse([...argv])).toThrow(message);
  });

  it("names the variable if the value came from there", () => {
    expect(() => parse([], { BELAY_TAIL: "x" })).toThrow(`Cannot use BELAY_TAIL "x"`);
  });
});

describe("the command to run", () => {
  it("is what follows --", () => {
    expect(parse(["--json", "--", "echo", "--tail", "--"]).args).toEqual(["echo", "--tail", "--"]);
  });

  it("may follow the flags without --, and keeps its own flags", () => {
    expect(parse(["--tail", "1", "echo", "--json", "-n"]).args).toEqual(["echo", "--json", "-n"]);
    expect(parse(["--tail", "1", "echo", "--json"]).flags["json"]).toBe(false);
  });
});

it("--help shows flags with default and variable, and examples", () => {
  const parsed = parseCommand(example, ["--help"], {});
  if (!("help" in parsed)) throw new Error("expected help");
  expect(parsed.help).toMatch(/--connect-timeout <DURATION>\s+how long \(default: 10s;\s+BELAY_CONNECT_TIMEOUT\)/);
  expect(parsed.help).toMatch(/--once +for one call\n/);
  expect(parsed.help).toContain("  belay example -- echo  # says nothing\n");
  expect(parsed.help).toMatch(/^ {2}# says nothing, at length\n {2}belay example --mode drop/m);
});

it("--help and a guess do not offer a hidden flag, which works", () => {
  const parsed = parseCommand(example, ["--help"], {});
  expect("help" in parsed ? parsed.help : "").not.toContain("--old");
  expect(parse(["--old"]).flags["old"]).toBe(true);
  expect(() => parse(["--olt"])).toThrow(`Unknown flag "--olt" of belay example: see belay example --help`);
});

import { describe, expect, test } from "vitest";
import { choose, readArguments } from "./arguments.ts";

describe("the command line", () => {
  test("without arguments means a table of all benchmarks", () => {
    expect(readArguments([])).toEqual({ action: "table", names: [], runs: undefined });
  });

  test("accepts names, a number of rounds and one action", () => {
    expect(readArguments(["start", "--runs", "7", "--json", "cancel"])).toEqual({
      action: "json",
      names: ["start", "cancel"],
      runs: 7,
    });
    for (const action of ["json", "markdown", "list", "help", "guard", "record"]) {
      expect(readArguments([`--${action}`]).action).toBe(action);
    }
  });

  test.each(["0", "-1", "1.5", "many", "10000"])("rejects %s rounds", (runs) => {
    expect(() => readArguments([`--runs=${runs}`])).toThrow(
      `Cannot parse --runs "${runs}": expected a number from 1 to 9999`,
    );
  });

  test("rejects two actions at once, but always shows help", () => {
    expect(() => readArguments(["--json", "--guard"])).toThrow("Cannot do both --json and --guard");
    expect(readArguments(["--json", "--help"]).action).toBe("help");
  });

  test("rejects an unknown flag", () => {
    expect(() => readArguments(["--fast"])).toThrow("--fast");
  });
});

describe("names", () => {
  const all = ["throughput-lines", "throughput-job", "start", "capacity-idle"].map((name) => ({ name }));
  const names = (asked: readonly string[]): string[] => choose(all, asked).map(({ name }) => name);

  test("choose benchmarks, in the benchmarks' own order", () => {
    expect(names(["start", "throughput-job"])).toEqual(["throughput-job", "start"]);
  });

  test("stand for all benchmarks that begin with the name and a dash", () => {
    expect(names(["throughput"])).toEqual(["throughput-lines", "throughput-job"]);
    expect(() => names(["through"])).toThrow('No benchmark "through": expected one of throughput-lines');
  });

  test("may be missing: all benchmarks are chosen", () => {
    expect(names([])).toEqual(all.map(({ name }) => name));
  });
});

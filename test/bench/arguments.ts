import { parseArgs } from "node:util";

/** The parsed command line. */
export interface Request {
  /** The action: measure and print a table, objects or Markdown; list; help; compare with recorded ratios; record. */
  readonly action: "table" | "json" | "markdown" | "list" | "help" | "guard" | "record";
  /** Names of benchmarks, or of groups ("capacity" is "capacity-idle" and "capacity-logging"). Empty: all. */
  readonly names: readonly string[];
  /** Rounds of each benchmark. Undefined: its usual number. */
  readonly runs: number | undefined;
}

const ACTIONS = ["json", "markdown", "list", "help", "guard", "record"] as const;

/** Reads the command line. @throws Error that says what is wrong, and what was expected */
export function readArguments(args: readonly string[]): Request {
  const flag = { type: "boolean", default: false } as const;
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      json: flag,
      markdown: flag,
      list: flag,
      help: flag,
      guard: flag,
      record: flag,
      runs: { type: "string" },
    },
  });
  const asked = ACTIONS.filter((name) => values[name]);
  if (asked.length > 1 && !asked.includes("help")) {
    throw new Error(`Cannot do both --${asked[0]} and --${asked[1]}: expected one of them`);
  }
  const action = asked.includes("help") ? "help" : (asked[0] ?? "table");
  if (values.runs === undefined) return { action, names: positionals, runs: undefined };
  if (!/^[1-9]\d{0,3}$/.test(values.runs)) {
    throw new Error(`Cannot parse --runs "${values.runs}": expected a number from 1 to 9999`);
  }
  return { action, names: positionals, runs: Number(values.runs) };
}

/** The benchmarks with these names, in the benchmarks' own order. @throws Error for an unknown name */
export function choose<T extends { readonly name: string }>(all: readonly T[], names: readonly string[]): T[] {
  const fits = (bench: T, name: string): boolean => bench.name === name || bench.name.startsWith(`${name}-`);
  for (const name of names) {
    if (all.some((bench) => fits(bench, name))) continue;
    throw new Error(`No benchmark "${name}": expected one of ${all.map((bench) => bench.name).join(", ")}`);
  }
  return names.length === 0 ? [...all] : all.filter((bench) => names.some((name) => fits(bench, name)));
}

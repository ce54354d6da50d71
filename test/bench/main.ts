// `npm run bench`: measures, each row beside its reference in the same run, and prints a table. See HELP.
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { choose, readArguments, type Request } from "./arguments.ts";
import { type Bench, BENCH_MS, LEAST_MS, perform, WHOLE_MS } from "./bench.ts";
import { BENCHES } from "./benches.ts";
import { describeVerdict, guard, record, type Recorded } from "./guard.ts";
import { describeMachine, thisMachine } from "./machine.ts";
import { openProbes } from "./probes.ts";
import { type Summary, summarize } from "./row.ts";
import { Stage } from "./stage.ts";
import { markdownTable, plainTable } from "./table.ts";

/** File with the ratios that the guard compares with. */
const RECORDED = path.join(import.meta.dirname, "recorded.json");
/** Time after which the guard measures nothing again, so that it takes a minute at most. Milliseconds. */
const PATIENCE_MS = 35_000;
/** Rounds of `--record`. */
const RECORD_ROUNDS = 3;

const HELP = `Usage: npm run bench [-- [options] [NAME…]]

Measures the built command and prints a table. Each row has a reference, which is measured in turn with Belay. Without
NAME, all benchmarks are run, within 10 minutes; each takes at most one minute. The part of a name before a "-" stands
for all benchmarks that begin with it.

Options:
  --runs N    rounds of each benchmark; default: its own number
  --list      print the benchmarks' names
  --json      print one object a row, and nothing else, to standard output
  --markdown  print the table as Markdown, for docs/performance.md
  --guard     measure a few ratios shortly and hold them against test/bench/recorded.json; 1 if one is a third worse
  --record    measure the same ratios several times and write them to test/bench/recorded.json
  --help      show this help`;

// Stages are removed in the event "exit", which a signal's default action would not emit.
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(1));
const code = await main(process.argv.slice(2));
// Waits for a slow reader of a pipe: an exit would discard output that it has not read yet.
await new Promise((resolve) => process.stdout.write("", resolve));
process.exit(code);

/** @returns exit code: 0; 1 if something could not be measured or is worse than its limit; 64 for a wrong call */
async function main(args: readonly string[]): Promise<number> {
  let request: Request;
  let chosen: Bench[];
  try {
    request = readArguments(args);
    chosen = choose(BENCHES, request.names);
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    return 64;
  }
  switch (request.action) {
    case "help":
      console.log(HELP);
      return 0;
    case "list":
      for (const { name, about } of chosen) console.log(`${name}: ${about}`);
      return 0;
    case "table":
    case "json":
    case "markdown":
      return measure(request, chosen);
    case "guard":
      return compare();
    case "record":
      return remember(request.runs ?? RECORD_ROUNDS);
  }
}

/** Measures the guarded ratios shortly, and reports those that are worse than their limits. */
async function compare(): Promise<number> {
  const recorded = JSON.parse(readFileSync(RECORDED, "utf8")) as Recorded;
  console.log(describeMachine(thisMachine()));
  await using stage = await Stage.open();
  const verdicts = await guard(await openProbes(stage), recorded, PATIENCE_MS);
  for (const verdict of verdicts) console.log(describeVerdict(verdict));
  return verdicts.every(({ passed }) => passed) ? 0 : 1;
}

/** Measures the guarded ratios, and writes the file with which later measurements are compared. */
async function remember(times: number): Promise<number> {
  const machine = thisMachine();
  console.log(describeMachine(machine));
  await using stage = await Stage.open();
  const how = `npm run bench -- --record, ${times} rounds; "ratio" is the median of all pairs of Belay and the reference`;
  const date = new Date().toISOString().slice(0, 10);
  const recorded = await record(await openProbes(stage), times, { how, date, machine });
  writeFileSync(RECORDED, `${JSON.stringify(recorded, undefined, 2)}\n`);
  for (const [name, { ratio, rounds }] of Object.entries(recorded.ratios)) {
    console.log(`${name}: ${ratio} (rounds: ${rounds.join(", ")})`);
  }
  return 0;
}

async function measure({ action, runs }: Request, chosen: readonly Bench[]): Promise<number> {
  const machine = thisMachine();
  console.error(describeMachine(machine));
  const end = performance.now() + WHOLE_MS;
  const rows: Summary[] = [];
  let failed = 0;
  for (const bench of chosen) {
    const left = end - performance.now();
    if (left < LEAST_MS) {
      failed++;
      console.error(`${bench.name} left out: the ten minutes are over`);
      continue;
    }
    console.error(`${bench.name}: ${bench.about} …`);
    try {
      const found = await perform(bench, runs, Math.min(BENCH_MS, left));
      rows.push(...found.map(summarize));
    } catch (error) {
      failed++;
      console.error(`${bench.name} failed: ${error instanceof Error ? error.message : String(error)}`);
    }
    if (action === "json") for (const row of rows.splice(0)) console.log(JSON.stringify({ ...row, machine }, shown));
  }
  if (action === "markdown") console.log(`${describeMachine(machine)}\n\n${markdownTable(rows)}`);
  if (action === "table") console.log(`\n${describeMachine(machine)}\n\n${plainTable(rows)}`);
  return failed > 0 ? 1 : 0;
}

/** Rounds to six digits, which is more than the measurements' accuracy. */
function shown(_: string, value: unknown): unknown {
  return typeof value === "number" && !Number.isInteger(value) ? Number(value.toPrecision(6)) : value;
}

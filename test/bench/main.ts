// `npm run bench [-- NAME …] [--json]`: measures, each row beside its reference in the same run, and prints a table.
import { cpus } from "node:os";
import { parseArgs } from "node:util";
import { type Bench, median, type Row, Stage } from "./bench.ts";
import { capacity } from "./rows/capacity.ts";
import { latency } from "./rows/latency.ts";
import { memory } from "./rows/memory.ts";
import { start } from "./rows/start.ts";
import { throughput } from "./rows/throughput.ts";

const BENCHES: readonly Bench[] = [start, memory, latency, throughput];
/** Those that take minutes: only by name. */
const LONG: readonly Bench[] = [capacity];

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { json: { type: "boolean", default: false }, help: { type: "boolean", default: false } },
});

if (values.help) {
  console.log(
    `npm run bench [-- NAME …] [--json]\n\n${[...BENCHES, ...LONG].map(({ name, about }) => `  ${name}: ${about}`).join("\n")}`,
  );
  process.exit(0);
}
const unknown = positionals.filter((name) => ![...BENCHES, ...LONG].some((bench) => bench.name === name));
if (unknown.length > 0) {
  console.error(
    `No benchmark "${unknown[0]}": expected one of ${[...BENCHES, ...LONG].map(({ name }) => name).join(", ")}`,
  );
  process.exit(64);
}

const rows: Row[] = [];
const chosen = [...BENCHES, ...LONG].filter(({ name }) => positionals.includes(name));
for (const bench of positionals.length === 0 ? BENCHES : chosen) {
  console.error(`${bench.name}: ${bench.about} …`);
  await using stage = await Stage.open();
  rows.push(...(await bench.run(stage)));
}

if (values.json) {
  for (const row of rows) console.log(JSON.stringify({ ...row, median: median(row.ours) }));
} else {
  console.log(
    `\n${cpus().length} cores, ${cpus()[0]?.model ?? "?"}, Node ${process.versions.node}, ${process.platform}\n`,
  );
  const head = ["what", "ours", "spread", "reference", "ratio", "to reach"];
  const body = rows.map(cells);
  const widths = head.map((title, column) => Math.max(title.length, ...body.map((row) => row[column]?.length ?? 0)));
  for (const row of [head, ...body]) {
    console.log(
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    );
  }
}

function cells(row: Row): string[] {
  const ours = median(row.ours);
  const spread = row.ours.length > 1 ? `${round(Math.min(...row.ours))}–${round(Math.max(...row.ours))}` : "";
  const reference = row.reference === undefined ? undefined : median(row.reference.values);
  return [
    row.what,
    `${round(ours)} ${row.unit}`,
    spread,
    reference === undefined ? "" : `${round(reference)} ${row.unit} (${row.reference?.what})`,
    reference === undefined ? "" : (ours / reference).toFixed(2),
    row.reach,
  ];
}

function round(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toFixed(1);
}

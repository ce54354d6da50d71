import { readFileSync } from "node:fs";
import process from "node:process";
import type { FaultRecord } from "./record.ts";

// Prints the records of the fault tests as a table. First run BELAY_FAULT_TABLE=/tmp/f npx vitest run test/fault, then
// this program with the argument /tmp/f.

const lines = readFileSync(process.argv[2] ?? "", "utf8")
  .trim()
  .split("\n");
const rows = lines.map((line) => JSON.parse(line) as FaultRecord);

function ms(value: number | undefined): string {
  if (value === undefined) return "";
  return value < 1000 ? `${Math.round(value)} ms` : `${(value / 1000).toFixed(1)} s`;
}

process.stdout.write("| fault | noticed after | whole again after | bytes lost | processes harmed | remark |\n");
process.stdout.write("|---|---|---|---|---|---|\n");
for (const { fault, noticed, recovered, bytesLost, harmed, remark } of rows) {
  process.stdout.write(
    `| ${fault} | ${ms(noticed)} | ${ms(recovered)} | ${bytesLost ?? ""} | ${harmed ?? ""} | ${remark ?? ""} |\n`,
  );
}

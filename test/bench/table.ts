import type { Summary } from "./row.ts";

const HEAD = ["what", "ours", "spread", "reference", "spread", "ratio", "to reach", "reached"];

/** The table for a terminal. */
export function plainTable(rows: readonly Summary[]): string {
  const body = rows.map(cells);
  const widths = HEAD.map((title, column) => Math.max(title.length, ...body.map((row) => row[column]?.length ?? 0)));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd();
  return [HEAD, ...body].map(line).join("\n");
}

/** The table for docs/performance.md. */
export function markdownTable(rows: readonly Summary[]): string {
  const line = (row: readonly string[]): string => `| ${row.join(" | ")} |`;
  const body = rows.map((row) => cells(row).map((cell) => cell.replaceAll("|", String.raw`\|`)));
  return [HEAD, HEAD.map(() => "---"), ...body].map(line).join("\n");
}

function cells({ what, unit, ours, reference, ratio, reach, better, reached }: Summary): string[] {
  const sign = better === "more" ? "≥" : "≤";
  const wanted = reach === null ? "" : "ratio" in reach ? `${sign} ${reach.ratio}×` : `${sign} ${reach.value} ${unit}`;
  const known =
    reference === null
      ? ""
      : reference.figure === null
        ? `none: ${reference.missing ?? ""}`
        : `${number(reference.figure.value)} ${unit} (${reference.what})`;
  return [
    what,
    `${number(ours.value)} ${unit}`,
    spread(ours),
    known,
    reference?.figure ? spread(reference.figure) : "",
    ratio === null ? "" : `${number(ratio)}×`,
    wanted,
    reached === null ? "" : reached ? "yes" : "no",
  ];
}

/** From the least to the most measured. */
function spread({ min, max, values }: Pick<NonNullable<Summary["ours"]>, "min" | "max" | "values">): string {
  return values.length > 1 ? `${number(min)}–${number(max)}` : "";
}

/** Formats a number with three significant digits; digits before the point are all kept. */
export function number(value: number): string {
  const size = Math.abs(value);
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3);
}

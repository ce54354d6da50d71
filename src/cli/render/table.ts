import { widthOf } from "../terminal/text-width.ts";

/**
 * Lines with columns under a header, two spaces apart. An empty cell is shown as `-`, so that every line has the same
 * number of words and `awk '{print $2}'` works; the last column may contain spaces.
 */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [header, ...rows.map((row) => row.map((cell) => (cell === "" ? "-" : cell)))];
  const widths = header.map((_, column) => Math.max(...lines.map((line) => widthOf(line[column] ?? ""))));
  return lines
    .map(
      (line) =>
        `${line
          .map((cell, column) => pad(cell, widths[column] ?? 0))
          .join("  ")
          .trimEnd()}\n`,
    )
    .join("");
}

/** Lines `name   value`, names in a column. Entries without a value are left out. */
export function facts(entries: readonly (readonly [name: string, value: string])[], indent = ""): string {
  const shown = entries.filter(([, value]) => value !== "");
  const width = Math.max(0, ...shown.map(([name]) => name.length));
  return shown.map(([name, value]) => `${indent}${name.padEnd(width)}  ${value}\n`).join("");
}

function pad(cell: string, width: number): string {
  return cell + " ".repeat(Math.max(0, width - widthOf(cell)));
}

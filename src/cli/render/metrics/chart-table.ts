import { sparkline } from "../sparkline.ts";
import type { Style } from "../style.ts";
import { cutText, textWidth } from "../../terminal/text-width.ts";
import type { Range, Stretch } from "./over-time.ts";
import { columnsOf } from "./over-time.ts";

/** One line of a chart table. */
export interface ChartRow {
  readonly name: string;
  /** One for each column of the table. Empty: not known. */
  readonly cells: readonly string[];
  /** Text after the cells, such as the limit. */
  readonly note: string;
  readonly stretches: readonly Stretch[];
  /** Bottom and top of the chart. @default 0 or the least value, and the greatest value */
  readonly min?: number;
  readonly max?: number;
}

/** How charts are drawn. */
export interface ChartStyle {
  /** Width of the terminal. */
  readonly columns: number;
  readonly ascii: boolean;
  readonly style: Style;
}

/** With fewer columns than this, a chart gets its own line. */
const LEAST_CHART = 12;
/** Longest name that is not cut; the second is for a narrow terminal. */
const NAME_WIDTH = 28;
const NARROW_NAME_WIDTH = 14;
const GAP = 2;

/**
 * Rows of numbers, each followed by a chart, in the available width. If there is not enough room, first the notes are
 * dropped, then the dispensable columns, then each chart gets its own line, and then the last columns are dropped.
 *
 * @param dispensable indexes of columns, in the order in which they are dropped
 */
export function chartTable(
  header: readonly string[],
  rows: readonly ChartRow[],
  range: Range,
  { columns, ascii, style }: ChartStyle,
  dispensable: readonly number[] = [],
): string {
  if (rows.length === 0) return "";
  const longest = columns < 60 ? NARROW_NAME_WIDTH : NAME_WIDTH;
  const empty = ascii ? "-" : "–";
  let lines: (readonly string[])[] = [
    ["", ...header, ""],
    ...rows.map(({ name, cells, note }) => [
      cut(name, longest, ascii),
      ...cells.map((cell) => (cell === "" ? empty : cell)),
      note,
    ]),
  ];
  const widthsOf = (): number[] =>
    (lines[0] ?? []).map((_, i) => Math.max(...lines.map((line) => textWidth(line[i] ?? ""))));
  const room = (): number => columns - widthsOf().reduce((sum, width) => sum + (width > 0 ? width + GAP : 0), 0);
  const drop = (column: number): void => {
    lines = lines.map((line) => line.map((cell, i) => (i === column ? "" : cell)));
  };
  for (const column of [header.length + 1, ...dispensable.map((i) => i + 1)]) if (room() < LEAST_CHART) drop(column);
  const chartBelow = room() < LEAST_CHART;
  // A chart on its own line needs no gap after the last column.
  for (let column = header.length; column > 1 && room() < -GAP; column--) drop(column);
  const widths = widthsOf();
  return lines
    .map((line, i) => {
      const cells = line.flatMap((cell, column) => {
        const width = widths[column] ?? 0;
        // Numbers are right-aligned; name and note are left-aligned.
        const isText = column === 0 || column === line.length - 1;
        return width === 0 ? [] : [pad(cell, width, isText)];
      });
      const text = cells.join(" ".repeat(GAP));
      const row = rows[i - 1];
      if (row === undefined) return `${style.bold(text.trimEnd())}\n`;
      const width = chartBelow ? columns - GAP : room();
      const values = columnsOf(row.stretches, range, width);
      const { min, max } = row;
      const chart = sparkline(values, width, {
        ascii,
        ...(min === undefined ? {} : { min }),
        ...(max === undefined ? {} : { max }),
      });
      const drawn = style.cyan(chart.trimEnd());
      if (chart.trim() === "") return `${text.trimEnd()}\n`;
      return chartBelow ? `${text.trimEnd()}\n${" ".repeat(GAP)}${drawn}\n` : `${text}${" ".repeat(GAP)}${drawn}\n`;
    })
    .join("");
}

function cut(text: string, width: number, ascii: boolean): string {
  const short = cutText(text, width);
  return ascii && short !== text ? `${cutText(text, width - 2).slice(0, -1)}...` : short;
}

function pad(text: string, width: number, isText: boolean): string {
  const fill = " ".repeat(Math.max(0, width - textWidth(text)));
  return isText ? text + fill : fill + text;
}

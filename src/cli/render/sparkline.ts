/** How a sparkline is drawn. */
export interface SparklineOptions {
  /** Value at the bottom. @default 0, or the least value if that is below 0 */
  readonly min?: number;
  /** Value at the top; greater values are drawn as this one. @default the greatest value */
  readonly max?: number;
  /** For terminals that show only ASCII. @default false */
  readonly ascii?: boolean;
}

const BLOCKS = "▁▂▃▄▅▆▇█";
const ASCII = ".:-=+*#@";

/**
 * Values over time as one line of characters, the oldest first: one value per column if there is room, otherwise the
 * greatest of each column's values, so that no peak is lost. An unknown value is a gap.
 *
 * @returns at most `width` characters; fewer only if there are fewer values
 */
export function sparkline(
  values: readonly (number | undefined)[],
  width: number,
  options: SparklineOptions = {},
): string {
  const columns = fit(values, Math.max(0, Math.floor(width)));
  const known = columns.filter((value) => value !== undefined);
  const min = options.min ?? least(known);
  const max = options.max ?? known.reduce((most, value) => Math.max(most, value), min);
  const levels = options.ascii === true ? ASCII : BLOCKS;
  return columns.map((value) => (value === undefined ? " " : levels[level(value, min, max)])).join("");
}

/** Reduces values to `width`: the greatest of each group of neighbours. */
function fit(values: readonly (number | undefined)[], width: number): (number | undefined)[] {
  const columns: (number | undefined)[] = [];
  const wanted = Math.min(width, values.length);
  for (let i = 0; i < wanted; i++) {
    const from = Math.floor((i * values.length) / wanted);
    const to = Math.floor(((i + 1) * values.length) / wanted);
    let greatest: number | undefined;
    for (let at = from; at < to; at++) {
      const value = values[at];
      if (value === undefined || Number.isNaN(value)) continue;
      if (greatest === undefined || value > greatest) greatest = value;
    }
    columns.push(greatest);
  }
  return columns;
}

function least(known: readonly number[]): number {
  return known.reduce((found, value) => Math.min(found, value), 0);
}

/** The height of a value, 0 to 7. 0 is only for the bottom value, so that little differs from nothing. */
function level(value: number, min: number, max: number): number {
  if (value <= min) return 0;
  if (value >= max) return 7;
  const share = (value - min) / (max - min);
  return Number.isNaN(share) ? 0 : Math.min(7, Math.max(1, Math.ceil(share * 7)));
}

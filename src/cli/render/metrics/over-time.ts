/** A value and the time span for which it stands. */
export interface Stretch {
  readonly fromMs: number;
  readonly toMs: number;
  /** Undefined: not known. */
  readonly value: number | undefined;
}

/** The time that a chart covers, in milliseconds of one clock. */
export interface Range {
  readonly fromMs: number;
  readonly toMs: number;
}

/**
 * One value for each of `width` equal columns of time: the greatest of the stretches that touch the column. Undefined
 * if no stretch touches it.
 */
export function columnsOf(stretches: readonly Stretch[], range: Range, width: number): (number | undefined)[] {
  if (width <= 0) return [];
  const columns = Array.from({ length: width }, (): number | undefined => undefined);
  const perColumn = (range.toMs - range.fromMs) / width;
  const columnAt = (ms: number): number =>
    perColumn > 0 ? Math.min(width - 1, Math.max(0, Math.floor((ms - range.fromMs) / perColumn))) : width - 1;
  for (const { fromMs, toMs, value } of stretches) {
    if (value === undefined || Number.isNaN(value)) continue;
    // A stretch that ends where a column begins does not touch that column, unless the stretch has no length.
    const last = columnAt(toMs > fromMs ? toMs - 1e-6 : toMs);
    for (let at = perColumn > 0 ? columnAt(fromMs) : 0; at <= last; at++) {
      const found = columns[at];
      if (found === undefined || value > found) columns[at] = value;
    }
  }
  return columns;
}

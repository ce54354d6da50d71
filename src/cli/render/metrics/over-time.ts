/** A value and the stretch of time that it stands for. */
export interface Stretch {
  readonly fromMs: number;
  readonly toMs: number;
  /** Undefined: not known. */
  readonly value: number | undefined;
}

/** From when to when a chart goes, in milliseconds of one clock. */
export interface Range {
  readonly fromMs: number;
  readonly toMs: number;
}

/**
 * One value for each of so many equal columns of time: the greatest of those whose stretch touches it. A column that no
 * stretch touches is undefined.
 */
export function columnsOf(stretches: readonly Stretch[], range: Range, width: number): (number | undefined)[] {
  if (width <= 0) return [];
  const columns = Array.from({ length: width }, (): number | undefined => undefined);
  const perColumn = (range.toMs - range.fromMs) / width;
  const columnAt = (ms: number): number =>
    perColumn > 0 ? Math.min(width - 1, Math.max(0, Math.floor((ms - range.fromMs) / perColumn))) : width - 1;
  for (const { fromMs, toMs, value } of stretches) {
    if (value === undefined || Number.isNaN(value)) continue;
    // A stretch that only begins where a column ends does not touch it; one without length does.
    const last = columnAt(toMs > fromMs ? toMs - 1e-6 : toMs);
    for (let at = perColumn > 0 ? columnAt(fromMs) : 0; at <= last; at++) {
      const found = columns[at];
      if (found === undefined || value > found) columns[at] = value;
    }
  }
  return columns;
}

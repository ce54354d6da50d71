/** The value below which a share of the values lies, by nearest rank; NaN if there is none. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.min(sorted.length, Math.ceil(share * sorted.length)) - 1)] ?? Number.NaN;
}

/** The middle value; of an even number, the lower one of the two. */
export function median(values: readonly number[]): number {
  return percentile(values, 0.5);
}

/** Several measurements of one quantity. */
export interface Figure {
  /** The value that counts: the median, or the row's percentile. */
  readonly value: number;
  readonly min: number;
  readonly max: number;
  /** Quartiles: half of the values lie between them. */
  readonly q1: number;
  readonly q3: number;
  /** Each measurement, in the order in which it was made. */
  readonly values: readonly number[];
}

/** Sums up measurements. @param share the percentile that counts, between 0 and 1 */
export function figure(values: readonly number[], share = 0.5): Figure {
  return {
    value: percentile(values, share),
    min: Math.min(...values),
    max: Math.max(...values),
    q1: percentile(values, 0.25),
    q3: percentile(values, 0.75),
    values,
  };
}

/**
 * Ratio of Belay to the reference. If both were measured in turn (A B A B …), each is compared with its neighbour,
 * which ran under the same load, and the median of the quotients counts; otherwise the two figures are compared.
 */
export function ratio(ours: readonly number[], reference: readonly number[], share = 0.5): number {
  return ours.length === reference.length && share === 0.5
    ? median(quotients(ours, reference))
    : percentile(ours, share) / percentile(reference, share);
}

/** Each measurement of Belay as a multiple of the reference beside it. */
export function quotients(ours: readonly number[], reference: readonly number[]): number[] {
  return ours.map((value, index) => value / (reference[index] ?? Number.NaN));
}

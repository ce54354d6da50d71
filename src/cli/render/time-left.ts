/** Progress at one moment. */
export interface ProgressPoint {
  /** Milliseconds since any fixed moment, the same for all. */
  readonly atMs: number;
  /** 0 to 1. */
  readonly fraction: number;
}

/** How many points the rate is computed from: enough for a median, few enough to compare every pair. */
const SAMPLED = 32;
/** The rate is computed over the latest part of the run: at least this share of the time since the start. */
const RECENT = 0.5;
/** After a silence of this many times the longest pause between two reports, the time left is unknown. */
const SILENCE = 4;
/** A longer estimate is meaningless. */
const LONGEST_MS = 365 * 86_400_000;

/**
 * Estimates how long the rest takes, in milliseconds. Undefined: not known yet, or no longer known.
 *
 * Uses the median of the rates between any two points of the later half of the run (Theil and Sen), so that neither a
 * pause nor a slow beginning distorts it. When progress goes back, the estimate starts again from there.
 *
 * @param points in order of time
 */
export function timeLeft(points: readonly ProgressPoint[], nowMs: number): number | undefined {
  const last = points.at(-1);
  if (last === undefined) return undefined;
  if (last.fraction >= 1) return 0;
  const run = points.slice(startOfRun(points));
  const [first = last] = run;
  const waited = nowMs - last.atMs;
  const longest = longestWait(run);
  if (longest === undefined || waited > SILENCE * longest) return undefined;
  const from = last.atMs - (last.atMs - first.atMs) * RECENT;
  // The last point before that part counts as well: one point alone has no rate.
  const start = Math.max(0, run.findIndex(({ atMs }) => atMs >= from) - 1);
  const rate = medianRate(evenly(run.slice(start)));
  if (rate === undefined || rate <= 0) return undefined;
  const left = (1 - last.fraction) / rate - Math.max(0, waited);
  return left > LONGEST_MS ? undefined : Math.max(0, left);
}

/** Index of the first point after progress last went back. */
function startOfRun(points: readonly ProgressPoint[]): number {
  for (let i = points.length - 1; i > 0; i--) {
    if ((points[i]?.fraction ?? 0) < (points[i - 1]?.fraction ?? 0)) return i;
  }
  return 0;
}

function longestWait(points: readonly ProgressPoint[]): number | undefined {
  let longest: number | undefined;
  for (let i = 1; i < points.length; i++) {
    const wait = (points[i]?.atMs ?? 0) - (points[i - 1]?.atMs ?? 0);
    if (wait > (longest ?? 0)) longest = wait;
  }
  return longest;
}

/** Some of the points, including the first and the last. */
function evenly(points: readonly ProgressPoint[]): ProgressPoint[] {
  if (points.length <= SAMPLED) return [...points];
  return Array.from(
    { length: SAMPLED },
    (_, i) => points[Math.round((i * (points.length - 1)) / (SAMPLED - 1))],
  ).filter((point) => point !== undefined);
}

/** The median rate: progress per millisecond. */
function medianRate(points: readonly ProgressPoint[]): number | undefined {
  const rates: number[] = [];
  for (const [i, a] of points.entries()) {
    for (const b of points.slice(i + 1)) {
      if (b.atMs > a.atMs) rates.push((b.fraction - a.fraction) / (b.atMs - a.atMs));
    }
  }
  rates.sort((a, b) => a - b);
  return rates[Math.floor(rates.length / 2)];
}

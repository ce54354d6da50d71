import { type Figure, figure, ratio } from "./stats.ts";

/** One measured line of the table. */
export interface Row {
  /** Name for programs, such as "throughput-lines.rate". It never changes. */
  readonly key: string;
  /** The measured quantity, for readers. */
  readonly what: string;
  readonly unit: string;
  /** Which way is better. */
  readonly better: "more" | "less";
  /** Measurements of Belay. */
  readonly ours: readonly number[];
  /** The percentile that counts, between 0 and 1. @default 0.5 */
  readonly share?: number;
  /** What a user would use instead, measured in the same run, in turn with Belay. */
  readonly reference?: Reference;
  /** The goal: a value in the row's unit, or a ratio to the reference. */
  readonly reach?: { readonly value: number } | { readonly ratio: number };
}

/** Measurements of the reference, or why there are none on this machine. */
export type Reference =
  | { readonly what: string; readonly values: readonly number[] }
  | { readonly what: string; readonly missing: string };

/** A row as `--json` prints it: every key is always there. */
export interface Summary {
  readonly key: string;
  readonly what: string;
  readonly unit: string;
  readonly better: "more" | "less";
  readonly share: number;
  readonly ours: Figure;
  readonly reference: { readonly what: string; readonly missing: string | null; readonly figure: Figure | null } | null;
  readonly ratio: number | null;
  readonly reach: { readonly value: number } | { readonly ratio: number } | null;
  /** Whether the goal was reached; null if there is none, or it could not be measured. */
  readonly reached: boolean | null;
}

/** Computes a row's figures. */
export function summarize(row: Row): Summary {
  const { key, what, unit, better, ours, share = 0.5, reference, reach } = row;
  const values = reference !== undefined && "values" in reference ? reference.values : undefined;
  const times = values === undefined ? null : ratio(ours, values, share);
  const missing = reference !== undefined && "missing" in reference ? reference.missing : null;
  const mine = figure(ours, share);
  return {
    key,
    what,
    unit,
    better,
    share,
    ours: mine,
    reference:
      reference === undefined
        ? null
        : { what: reference.what, missing, figure: values === undefined ? null : figure(values, share) },
    ratio: times,
    reach: reach ?? null,
    reached: reach === undefined ? null : isReached(better, "ratio" in reach ? times : mine.value, reach),
  };
}

function isReached(better: Row["better"], found: number | null, reach: NonNullable<Row["reach"]>): boolean | null {
  if (found === null || Number.isNaN(found)) return null;
  const wanted = "ratio" in reach ? reach.ratio : reach.value;
  return better === "more" ? found >= wanted : found <= wanted;
}

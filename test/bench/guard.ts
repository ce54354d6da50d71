import type { Machine } from "./machine.ts";
import { median } from "./stats.ts";

/** Share of the recorded ratio by which the measured one may be worse. */
const TOLERANCE = 1 / 3;
/** Most measurements of a ratio until it is good enough: other work on a machine makes figures worse, never better. */
export const TRIES = 3;

/** Contents of test/bench/recorded.json. */
export interface Recorded {
  /** How the file was made, for its readers. */
  readonly how: string;
  /** When the file was made, as an ISO date. */
  readonly date: string;
  readonly machine: Machine;
  /** The ratios, by name. */
  readonly ratios: Readonly<Record<string, RecordedRatio>>;
}

/** One ratio of the file. */
export interface RecordedRatio {
  /** The two measured values, as "X to Y". */
  readonly what: string;
  readonly better: "more" | "less";
  /** Median of all pairs. */
  readonly ratio: number;
  /** Medians of the rounds, to see how steady the ratio is. */
  readonly rounds: readonly number[];
}

/** A few ratios that are measured together. */
export interface Probe {
  readonly ratios: Readonly<Record<string, Pick<RecordedRatio, "what" | "better">>>;
  /** Measures pairs of Belay and the reference. @returns the ratio of each pair, by the ratio's name */
  measure(): Promise<Readonly<Record<string, readonly number[]>>>;
}

/** Result for one guarded ratio. */
export interface Verdict {
  readonly name: string;
  readonly what: string;
  readonly better: "more" | "less";
  /** Undefined: the file does not have this ratio. */
  readonly recorded: number | undefined;
  /** The best of the tries' medians. */
  readonly found: number;
  /** The worst value that passes. */
  readonly limit: number;
  readonly tries: number;
  readonly passed: boolean;
}

/** The worst ratio that passes, for a recorded one. */
export function limitOf(recorded: number, better: "more" | "less"): number {
  return better === "more" ? recorded * (1 - TOLERANCE) : recorded * (1 + TOLERANCE);
}

/**
 * Measures probes, and those that fail again, and compares them with the recorded ratios.
 *
 * @param patience time after which nothing is measured again, in milliseconds
 */
export async function guard(probes: readonly Probe[], recorded: Recorded, patience: number): Promise<Verdict[]> {
  const until = performance.now() + patience;
  const mayTryAgain = (tries: number): boolean => tries < TRIES && performance.now() < until;
  const verdicts: Verdict[] = [];
  for (const probe of probes) {
    const medians: Record<string, number>[] = [];
    let judged: Verdict[];
    do {
      const quotients = await probe.measure();
      medians.push(Object.fromEntries(Object.entries(quotients).map(([name, values]) => [name, median(values)])));
      judged = Object.entries(probe.ratios).map(([name, ratio]) =>
        judge(
          { name, ...ratio },
          recorded.ratios[name]?.ratio,
          medians.map((found) => found[name] ?? Number.NaN),
        ),
      );
    } while (mayTryAgain(medians.length) && judged.some(({ passed, recorded }) => !passed && recorded !== undefined));
    verdicts.push(...judged);
  }
  return verdicts;
}

/** Decides about one ratio. @param tries its median in each try */
export function judge(
  { name, what, better }: Pick<Verdict, "name" | "what" | "better">,
  recorded: number | undefined,
  tries: readonly number[],
): Verdict {
  const found = better === "more" ? Math.max(...tries) : Math.min(...tries);
  const limit = recorded === undefined ? Number.NaN : limitOf(recorded, better);
  // A ratio that could not be measured, or was not recorded, does not pass.
  const passed = better === "more" ? found >= limit : found <= limit;
  return { name, what, better, recorded, found, limit, tries: tries.length, passed };
}

/** One line about a verdict: the ratio, its recorded and measured value, and the limit. */
export function describeVerdict({ name, what, better, recorded, found, limit, tries, passed }: Verdict): string {
  const facts =
    recorded === undefined
      ? `found ${found.toFixed(3)}, recorded nowhere: run "npm run bench -- --record"`
      : `recorded ${recorded.toFixed(3)}, found ${found.toFixed(3)}, limit ${better === "more" ? "≥" : "≤"} ${limit.toFixed(3)}`;
  return `${passed ? "ok    " : "WORSE "} ${name} (${what}): ${facts}${tries > 1 ? `, best of ${tries} tries` : ""}`;
}

/** Measures probes several times. @returns the contents of the file */
export async function record(
  probes: readonly Probe[],
  times: number,
  about: Pick<Recorded, "how" | "date" | "machine">,
): Promise<Recorded> {
  const ratios: Record<string, RecordedRatio> = {};
  for (const probe of probes) {
    const all: Readonly<Record<string, readonly number[]>>[] = [];
    for (let round = 0; round < times; round++) all.push(await probe.measure());
    for (const [name, ratio] of Object.entries(probe.ratios)) {
      const rounds = all.map((quotients) => quotients[name] ?? []);
      const shown = (value: number): number => Number(value.toPrecision(4));
      ratios[name] = {
        ...ratio,
        ratio: shown(median(rounds.flat())),
        rounds: rounds.map((values) => shown(median(values))),
      };
    }
  }
  return { ...about, ratios };
}

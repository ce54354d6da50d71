import { BelayError } from "../base/errors.ts";
import { MAX_DURATION_MS } from "../base/options.ts";

const UNITS: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/**
 * Parses a duration such as "500ms", "1.5s", "5m", "1h30m" or "0".
 *
 * @param text what the user wrote
 * @param what name of the value in an error, such as `--grace`
 * @returns whole milliseconds
 * @throws BelayError `BAD_USAGE`
 */
export function parseDuration(text: string, what = "duration"): number {
  const parts = [...text.trim().matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)];
  const read = parts.map((part) => part[0]).join("");
  if (text.trim() === "0") return 0;
  if (parts.length === 0 || read !== text.trim()) {
    throw new BelayError("BAD_USAGE", `Cannot parse ${what} "${text}": expected a duration such as "5s" or "500ms"`);
  }
  const ms = parts.reduce((sum, part) => sum + Number(part[1]) * (UNITS[part[2] ?? ""] ?? 0), 0);
  // Rounding must not give 0: for most flags it means that there is no limit.
  if (ms > 0 && Math.round(ms) === 0) {
    throw new BelayError("BAD_USAGE", `Cannot parse ${what} "${text}": expected at least 1ms, or 0`);
  }
  if (ms <= MAX_DURATION_MS) return Math.round(ms);
  throw new BelayError("BAD_USAGE", `Cannot use ${what} "${text}": expected at most "36500d", a hundred years`);
}

/** Formats milliseconds for a user: "350ms", "4.2s", "3m 20s", "2h 5m", "3d 4h". */
export function formatDuration(ms: number): string {
  if (ms < 0) return `-${formatDuration(-ms)}`;
  if (ms < 999.5) return `${Math.round(ms)}ms`;
  if (ms < 59_950) return `${(ms / 1000).toFixed(1)}s`;
  const s = Math.round(ms / 1000);
  if (s < 3600) return two(Math.floor(s / 60), "m", s % 60, "s");
  if (s < 86_400) return two(Math.floor(s / 3600), "h", Math.floor((s % 3600) / 60), "m");
  return two(Math.floor(s / 86_400), "d", Math.floor((s % 86_400) / 3600), "h");
}

function two(a: number, aUnit: string, b: number, bUnit: string): string {
  return b === 0 ? `${a}${aUnit}` : `${a}${aUnit} ${b}${bUnit}`;
}

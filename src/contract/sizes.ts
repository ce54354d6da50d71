import { BelayError } from "../base/errors.ts";
import { GiB, KiB, MiB, TiB } from "../base/text/sizes.ts";

/** Largest size that is accepted: 8 PiB less one, the largest whole number that a JavaScript number holds exactly. */
const MAX_SIZE = Number.MAX_SAFE_INTEGER;

const UNITS: Record<string, number> = {
  "": 1,
  b: 1,
  k: KiB,
  kib: KiB,
  kb: 1000,
  m: MiB,
  mib: MiB,
  mb: 1e6,
  g: GiB,
  gib: GiB,
  gb: 1e9,
  t: TiB,
  tib: TiB,
  tb: 1e12,
};

/**
 * Parses a size such as "64KiB", "1GiB", "10MB" or "4096".
 *
 * @param text what the user wrote
 * @param what name of the value in an error, such as `--spool-limit`
 * @returns whole bytes
 * @throws BelayError `BAD_USAGE`
 */
export function parseSize(text: string, what = "size"): number {
  const match = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i.exec(text.trim());
  const unit = match === null ? undefined : UNITS[(match[2] ?? "").toLowerCase()];
  if (match === null || unit === undefined) {
    throw new BelayError("BAD_USAGE", `Cannot parse ${what} "${text}": expected a size such as "64KiB" or "1GiB"`);
  }
  const bytes = Math.round(Number(match[1]) * unit);
  if (bytes <= MAX_SIZE) return bytes;
  throw new BelayError("BAD_USAGE", `Cannot use ${what} "${text}": expected less than "8192TiB"`);
}

/** Formats bytes for a user: "812 B", "64.0 KiB", "1.2 GiB". */
export function formatSize(bytes: number | bigint): string {
  let value = Number(bytes);
  if (value < KiB) return `${value} B`;
  for (const unit of ["KiB", "MiB", "GiB", "TiB"]) {
    value /= KiB;
    if (value < 999.95 || unit === "TiB") return `${value.toFixed(1)} ${unit}`;
  }
  return `${value} B`;
}

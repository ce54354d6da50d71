const SIZES = ["B", "K", "M", "G", "T", "P"];

/** Bytes in at most five columns, binary units: `812B`, `64.0K`, `12.3G`, `900M`. */
export function compactSize(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < SIZES.length - 1) {
    value /= 1024;
    unit++;
  }
  const digits = unit === 0 || value >= 99.95 ? 0 : 1;
  return `${value.toFixed(digits)}${SIZES[unit]}`;
}

/** Milliseconds in at most six columns: `7s`, `3m20s`, `2h05m`, `12d4h`. */
export function compactDuration(ms: number): string {
  const s = Math.max(0, Math.floor(ms / 1000));
  if (s < 60) return `${s}s`;
  if (s < 3_600) return `${Math.floor(s / 60)}m${two(s % 60)}s`;
  if (s < 86_400) return `${Math.floor(s / 3_600)}h${two(Math.floor((s % 3_600) / 60))}m`;
  if (s < 100 * 86_400) return `${Math.floor(s / 86_400)}d${Math.floor((s % 86_400) / 3_600)}h`;
  return `${Math.floor(s / 86_400)}d`;
}

/** Milliseconds in at most five columns, with a second unit only if it fits: `3m20s`, `2h`, `12d`. */
export function compactAge(ms: number): string {
  const text = compactDuration(ms);
  return text.length <= 5 ? text : text.replace(/(?<=[hd]).*/, "");
}

/** Cores in at most five columns: `0.07`, `12.5`, `640`. */
export function compactCores(cores: number): string {
  return cores < 9.995 ? cores.toFixed(2) : cores < 99.95 ? cores.toFixed(1) : cores.toFixed(0);
}

/** A share from 0 to 1: `42%`. Only 1 is shown as 100%, and only 0 as 0%. */
export function compactShare(share: number): string {
  const percent = Math.round(share * 100);
  if (share > 0 && percent === 0) return "1%";
  return share < 1 && percent === 100 ? "99%" : `${percent}%`;
}

function two(value: number): string {
  return String(value).padStart(2, "0");
}

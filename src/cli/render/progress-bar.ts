const EIGHTHS = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

/**
 * Progress as a bar of exactly `width` characters. It is empty only at 0, and full only at 1.
 *
 * @param fraction 0 to 1; a value outside counts as the nearer end, NaN as 0
 */
export function progressBar(fraction: number, width: number, options: { readonly ascii?: boolean } = {}): string {
  const done = Number.isNaN(fraction) ? 0 : Math.min(1, Math.max(0, fraction));
  if (options.ascii === true) {
    const room = Math.max(0, Math.floor(width) - 2);
    const filled = steps(done, room);
    return `[${"#".repeat(filled)}${"-".repeat(room - filled)}]`.slice(0, Math.max(0, Math.floor(width)));
  }
  const room = Math.max(0, Math.floor(width));
  const eighths = steps(done, room * 8);
  const whole = Math.floor(eighths / 8);
  return ("█".repeat(whole) + (EIGHTHS[eighths % 8] ?? "")).padEnd(room, "░");
}

/** A share of `count` steps: none only for 0, all of them only for 1. */
function steps(fraction: number, count: number): number {
  if (fraction === 0 || fraction === 1) return fraction * count;
  return Math.min(Math.max(count - 1, 0), Math.max(Math.min(1, count), Math.round(fraction * count)));
}

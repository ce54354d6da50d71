/** File times have the resolution of the kernel's clock tick: two changes within one tick look like one. Milliseconds. */
const TICK_MS = 20;

/** Whether a file that has this time may change again, now, without getting another. @param timeMs since the Unix epoch */
export function mayChangeUnseen(timeMs: number): boolean {
  return Math.abs(Date.now() - timeMs) < TICK_MS;
}

/** File times have the resolution of the kernel's clock tick: changes within one tick look like one. Milliseconds. */
const TICK_MS = 20;

/** Whether a file with this time may change now and keep the same time. @param timeMs since the Unix epoch */
export function mayChangeUnseen(timeMs: number): boolean {
  return Math.abs(Date.now() - timeMs) < TICK_MS;
}

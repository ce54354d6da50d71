/** Resident memory of this process in bytes; 0 where it is not known, as without /proc. */
export function residentMemory(): number {
  try {
    return process.memoryUsage.rss();
  } catch {
    return 0;
  }
}

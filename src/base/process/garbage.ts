import { MiB } from "../text/sizes.ts";

/**
 * Bytes of garbage outside the heap between two collections of the young generation. V8 collects the whole heap when
 * there are 64 MiB more than after the last full collection (`kExternalAllocationSoftLimit` in its
 * include/v8-internal.h), and at a quarter of that if the heap is small: with 16 MiB, a tracker that receives 300 MB/s
 * still had five full collections a second.
 */
const COLLECT_EVERY_BYTES: number = 8 * MiB;

let made = 0;
let collectYoung: (() => void) | undefined;

/**
 * Enables `madeGarbage` in this process. Every tracker calls this, also one inside another program.
 *
 * Buffers of sockets and files are outside the heap, and their handles in the heap are small: 64 MiB of buffers fill so
 * little of the heap that V8 has not collected its young generation once, and collects the whole heap instead. With
 * 2,000 agents connected that is 110 MB, and half of a tracker's processor time.
 */
export function collectGarbageEarly(): void {
  if (collectYoung !== undefined) return;
  const v8 = process.getBuiltinModule("node:v8");
  // Only a new context sees what the flag exposes. The flag is then reset: it is part of the key of code caches.
  v8.setFlagsFromString("--expose-gc");
  const gc = process.getBuiltinModule("node:vm").runInNewContext("gc") as NodeJS.GCFunction;
  v8.setFlagsFromString("--no-expose-gc");
  collectYoung = () => gc({ type: "minor" });
}

/** Reports bytes outside the heap that have been used and are garbage now. */
export function madeGarbage(bytes: number): void {
  made += bytes;
  if (made < COLLECT_EVERY_BYTES) return;
  made = 0;
  collectYoung?.();
}

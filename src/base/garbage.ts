import { MiB } from "./sizes.ts";

/**
 * Bytes of garbage outside the heap between two collections of the young generation. V8 looks through the whole heap when
 * there are 64 MiB more than after the last time (`kExternalAllocationSoftLimit` in its include/v8-internal.h), and
 * where the heap is small at a quarter of that: with 16 MiB a tracker that takes 300 MB/s was still looked through five
 * times a second.
 */
const COLLECT_EVERY_BYTES: number = 8 * MiB;

let made = 0;
let collectYoung: (() => void) | undefined;

/**
 * From now on, `madeGarbage` has effect in this process. Every tracker asks for it, in a program that only imports one, too.
 *
 * Buffers of sockets and files lie outside the heap, and their handles in it are small: so little of the heap is filled
 * while 64 MiB of them pass that V8 has not collected its young generation once, and looks through all that there is
 * instead. With 2,000 agents connected that is 110 MB, and half of a tracker's processor time.
 */
export function collectGarbageEarly(): void {
  if (collectYoung !== undefined) return;
  const v8 = process.getBuiltinModule("node:v8");
  // Only a new context sees what the flag exposes. Without it again, so that code caches, whose key it is part of, fit.
  v8.setFlagsFromString("--expose-gc");
  const gc = process.getBuiltinModule("node:vm").runInNewContext("gc") as NodeJS.GCFunction;
  v8.setFlagsFromString("--no-expose-gc");
  collectYoung = () => gc({ type: "minor" });
}

/** Notes that so many bytes outside the heap were used once and will not be looked at again. */
export function madeGarbage(bytes: number): void {
  made += bytes;
  if (made < COLLECT_EVERY_BYTES) return;
  made = 0;
  collectYoung?.();
}

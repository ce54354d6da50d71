import { MiB } from "../base/sizes.ts";

/** Output after which a job counts as one that prints much. */
const MUCH = 1 * MiB;

/**
 * Keeps the young generation of the heap at the size it has. An agent makes short-lived garbage only: copies of output in
 * gRPC's hands. V8 would let it grow to 16 MiB a half, and with it the memory outside the heap that such garbage holds:
 * 143 to 167 MB at full rate, where it is 108 to 126 MB like this, with no more processor time. `belay top`, which asks
 * many small questions, is the same kind: else it has 200 MB after two minutes, 15 of them alive.
 * (`--max-semi-space-size` does the same, but only on the command line.)
 *
 * Not before everything is loaded: V8 takes no code from a cache that was made under other flags, neither from ours nor
 * from that of Node's own modules, and to compile those takes 20 ms.
 */
export function keepHeapSmall(): void {
  isSmall = true;
  setGrowth(1);
}

/** Does something under V8's own flags: making a cache of code. */
export function underUsualFlags(action: () => void): void {
  if (!isSmall) {
    action();
    return;
  }
  // V8's default.
  setGrowth(2);
  action();
  setGrowth(1);
}

let isSmall = false;

function setGrowth(factor: number): void {
  process.getBuiltinModule("node:v8").setFlagsFromString(`--semi-space-growth-factor=${factor}`);
}

/** Keeps the heap small from the moment on when the job has printed much: to be told of all output. */
export function keepHeapSmallIfMuch(): (bytes: number) => void {
  let left = MUCH;
  return (bytes) => {
    if (left <= 0) return;
    left -= bytes;
    if (left <= 0) keepHeapSmall();
  };
}

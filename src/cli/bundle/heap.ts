/**
 * The large ones of Node's own modules; they bring others with them. With all that are used, memory would be collected
 * twice before the flag is set, and after the second time V8 may let the young generation grow.
 */
const MODULES = ["http2", "child_process", "dns"];

/**
 * Keeps the young generation of the heap at its first size, 1 MiB a half. An agent makes short-lived garbage only: copies
 * of output in gRPC's hands. V8 would let it grow to 16 MiB a half, and with it the memory outside the heap that such
 * garbage holds: 143 to 167 MB at full rate, where it is 108 to 126 MB like this; and the processor's caches no longer
 * hold it: 5 s/GB instead of 3.5. `belay top`, which asks many small questions, is the same kind: else it has 200 MB after
 * two minutes, 15 of them alive. (`--max-semi-space-size` does the same, but only on the command line.)
 *
 * Must be called before Belay's own code is loaded: the heap does not shrink again. But the code of Node's own modules
 * was compiled under V8's usual flags, and once they are others, V8 compiles it again, which takes 20 ms. So the
 * large ones of those come first.
 */
export function keepHeapSmall(): void {
  for (const name of MODULES) process.getBuiltinModule(name);
  process.getBuiltinModule("node:v8").setFlagsFromString("--semi-space-growth-factor=1");
}

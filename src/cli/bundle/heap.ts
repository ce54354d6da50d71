/**
 * Large modules of Node, which load further ones. If all used modules were loaded here, there would be two garbage
 * collections before the flag is set, and after the second one V8 may let the young generation grow.
 */
const MODULES = ["http2", "child_process", "dns"];

/**
 * Keeps the young generation of the heap at its initial size, 1 MiB for each half. An agent makes only short-lived
 * garbage: gRPC's copies of output. V8 would let the halves grow to 16 MiB, and with them the memory outside the heap
 * that such garbage holds: 143 to 167 MB at full rate instead of 108 to 126 MB. It would also no longer fit the
 * processor's caches: 5 s/GB instead of 3.5. `belay top`, which makes many small calls, is similar: it would have
 * 200 MB after two minutes, of which 15 are in use. (`--max-semi-space-size` does the same, but only on the command
 * line.)
 *
 * Must be called before Belay's own code is loaded, because the heap does not shrink again. But the stored code of
 * Node's own modules fits only V8's usual flags: with another flag, V8 compiles it again, which takes 20 ms. So the
 * large modules are loaded before the flag is set.
 */
export function keepHeapSmall(): void {
  for (const name of MODULES) process.getBuiltinModule(name);
  process.getBuiltinModule("node:v8").setFlagsFromString("--semi-space-growth-factor=1");
}

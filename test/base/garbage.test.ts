import { execFile } from "node:child_process";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";

const MODULE = pathToFileURL("src/base/garbage.ts").href;

/** Has 400 MiB of buffers pass through a process with a large heap. @returns how often it was collected as a whole */
async function fullCollections(early: boolean): Promise<number> {
  const script = `
    import { constants } from "node:perf_hooks";
    import { collectGarbageEarly, madeGarbage } from ${JSON.stringify(MODULE)};
    globalThis.held = Array.from({ length: 1e6 }, (_, i) => [{ i }]);
    ${early ? "collectGarbageEarly();" : ""}
    if (globalThis.gc !== undefined) throw new Error("gc is exposed to everybody");
    let full = 0;
    const count = (list) => {
      for (const { detail } of list.getEntries()) if (detail.kind === constants.NODE_PERFORMANCE_GC_MAJOR) full++;
    };
    const observer = new PerformanceObserver(count);
    observer.observe({ entryTypes: ["gc"] });
    for (let i = 0; i < 6400; i++) {
      Buffer.allocUnsafeSlow(65536).fill(1, 0, 1);
      madeGarbage(65536);
      if (i % 64 === 0) await new Promise((resolve) => setTimeout(resolve, 2));
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
    console.log(full);`;
  const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "-e", script]);
  return Number(stdout);
}

test("Buffers that pass through a large heap are collected without collecting the whole heap", async () => {
  const late = await fullCollections(false);
  expect(late).toBeGreaterThan(3);
  expect(await fullCollections(true)).toBeLessThan(late / 2);
});

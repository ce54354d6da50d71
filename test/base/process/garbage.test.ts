import { execFile } from "node:child_process";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";

const MODULE = pathToFileURL("src/base/process/garbage.ts").href;

const SERVER = pathToFileURL("src/tracker/server.ts").href;

/**
 * Has 400 MiB of buffers pass through a process with a large heap.
 *
 * @param begin what the process does first, if anything
 * @returns how often its heap was collected as a whole
 */
async function fullCollections(begin: string): Promise<number> {
  const script = `
    import { mkdtempSync } from "node:fs";
    import { tmpdir } from "node:os";
    import { join } from "node:path";
    import { constants } from "node:perf_hooks";
    import { collectGarbageEarly, madeGarbage } from ${JSON.stringify(MODULE)};
    const directory = mkdtempSync(join(tmpdir(), "belay-garbage-"));
    globalThis.held = Array.from({ length: 1e6 }, (_, i) => [{ i }]);
    ${begin}
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
    console.log(full);
    (await import("node:fs")).rmSync(directory, { recursive: true });
    process.exit(0);`;
  const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "-e", script]);
  return Number(stdout);
}

describe("Buffers beside a large heap", () => {
  test("are collected without collecting the whole heap", async () => {
    const late = await fullCollections("");
    expect(late).toBeGreaterThan(3);
    expect(await fullCollections("collectGarbageEarly();")).toBeLessThan(late / 2);
  });

  test("are also collected so in a program that starts its own tracker", async () => {
    const start = `
      const { startTracker } = await import(${JSON.stringify(SERVER)});
      await startTracker({ listen: "127.0.0.1:0", dataDirectory: directory });`;
    expect(await fullCollections(start)).toBeLessThan((await fullCollections("")) / 2);
  });
});

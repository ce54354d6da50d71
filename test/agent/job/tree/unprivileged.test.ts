import { execFile } from "node:child_process";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { MODES } from "../driver.ts";

/** Tests that run the job in their own process, and so as the user who runs them. */
const FILES = ["job.test.ts", "start/spawn-failures.test.ts", "tree/containment.test.ts", "output/output.test.ts"];
const ROOT = fileURLToPath(new URL("../../../../", import.meta.url));
const mode = MODES.find(({ uid }) => uid !== undefined);

describe("Without privileges", () => {
  it.skipIf(mode?.skip !== undefined)("all tests of jobs pass, as they do for root", { timeout: 120_000 }, async () => {
    const vitest = join(dirname(createRequire(import.meta.url).resolve("vitest/package.json")), "vitest.mjs");
    const user = [`--reuid=${mode?.uid}`, `--regid=${mode?.uid}`, "--clear-groups"];
    const files = FILES.map((file) => `test/agent/job/${file}`);
    // Its own way of loading the configuration writes into node_modules, which is not this user's.
    const run = [process.execPath, vitest, "run", "--configLoader", "runner", ...files];
    const { code, text } = await new Promise<{ code: unknown; text: string }>((done) => {
      const env = { PATH: process.env["PATH"], HOME: "/tmp", NO_COLOR: "1" };
      execFile("setpriv", [...user, ...run], { cwd: ROOT, env }, (error, stdout, stderr) => {
        done({ code: error?.code ?? 0, text: stdout + stderr });
      });
    });
    expect(code, text).toBe(0);
    expect(text).toContain("held by a process-group");
    expect(text).not.toContain("held by a cgroup");
  });
});

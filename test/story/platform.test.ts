import { execFile } from "node:child_process";
import path from "node:path";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { TrackerProcess } from "../helpers/cli.ts";

const root = path.resolve(import.meta.dirname, "../..");
const belay = [process.execPath, path.join(root, "dist/cli/main.js")];
const run = promisify(execFile);

/** Neither the tests' nor the user's own settings. */
const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("BELAY_")));

describe("A platform that knows the contract alone submits a job, launches its agent, follows and cancels it", () => {
  test("in TypeScript, with the generated client", async () => {
    const tracker = await TrackerProcess.start();
    const program = path.join(root, "docs/platform/platform.ts");
    const { stdout } = await run(process.execPath, [program, tracker.url, ...belay], { env });
    const [one, two, three, ...states] = stdout.trimEnd().split("\n");
    expect([one, two, three]).toEqual(["line 1", "line 2", "line 3"]);
    expect(states.at(-2)).toBe("JOB_STATE_CANCELED");
    expect(states.at(-1)).toMatch(/^OUTCOME_CANCELED: .*seen enough/);
  });

  test("with curl", async () => {
    const tracker = await TrackerProcess.start();
    const program = path.join(root, "docs/platform/platform.sh");
    const { stdout } = await run("sh", [program, tracker.url, ...belay], { env });
    expect(stdout).toBe('ready\n"outcome":"OUTCOME_CANCELED"\n"state":"JOB_STATE_CANCELED"\n');
  });
});

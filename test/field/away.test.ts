import { writeFile } from "node:fs/promises";
import path from "node:path";
import { expect, it } from "vitest";
import { tempDirectory, TrackerProcess } from "../helpers/cli.ts";

it.each([
  ["is gone", "nothing", /^The tracker was away for 1.0s: .*ECONNREFUSED/],
  [
    "has lost its data",
    "other data",
    /^The tracker refused the agent for 1.0s: Job "j1" does not exist.* \(NOT_FOUND\)$/,
  ],
  ["asks for a token", "tokens", /^The tracker refused the agent for 1.0s: .*token.* \(UNAUTHENTICATED\)$/],
])("A job that ends since its tracker %s says so", async (_, next, message) => {
  const tracker = await TrackerProcess.start();
  const flags = ["--on-disconnect", "cancel-after=1s", "--flush-timeout", "1s", "--connect-timeout", "0"];
  const run = tracker.belay("run", "--job", "j1", ...flags, "--", "sh", "-c", "echo ready; exec sleep 60");
  await run.says(/ready/);
  await tracker.cli.kill("SIGKILL");
  const tokens = path.join(await tempDirectory(), "tokens");
  await writeFile(tokens, "a-token-of-16-characters\n");
  if (next !== "nothing") {
    const args = next === "tokens" ? ["--agent-tokens", tokens] : [];
    await TrackerProcess.start({ listen: new URL(tracker.url).host, args });
  }
  expect(await run.ended).toBe(125);
  const [, why = ""] = /^belay: Job j1 \w+ \(DISCONNECTED, [^)]*\): (.*)$/m.exec(run.stderr) ?? [run.stderr];
  expect(why).toMatch(message);
  const [, undelivered = ""] = /Not everything reached the tracker \((.*)\); it is lost/.exec(run.stderr) ?? [];
  expect(undelivered).toMatch(message);
});

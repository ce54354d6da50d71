import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { testDirectory, testTracker } from "../helpers/tracker.ts";
import { bytesLost, counting, someAgent, until } from "./an-agent.ts";
import { afterWelcome, Turnstile } from "./bad-server.ts";
import { record } from "./record.ts";
import { bytes, early, late } from "./vices.ts";

/** What became of one fault. */
interface Struck {
  readonly fault: string;
  readonly noticed: number;
  readonly whole: number;
}

test("One job lives through every way in which a stream can end, and not one byte is lost", {
  timeout: 180_000,
}, async () => {
  const tracker = await testTracker();
  const turnstile = await Turnstile.open(tracker.address);
  const directory = await testDirectory();
  const agent = someAgent(turnstile.url, counting(join(directory, "enough")));
  await agent.prints("line 5 of");
  const faults: Struck[] = [];

  async function strike(fault: string, struck: Promise<number>): Promise<void> {
    // The cut before it brings the agent to the turnstile.
    turnstile.cut();
    await until(agent.said, /^no tracker: /);
    const at = await struck;
    await until(agent.said, /^no tracker: /);
    const noticed = performance.now() - at;
    await until(agent.said, /^connected again/);
    faults.push({ fault, noticed: Math.max(0, noticed), whole: performance.now() - at });
  }

  for (const [name, vice] of bytes) await strike(`before Welcome: ${name}`, turnstile.nextSocket(vice));
  for (const [name, vice] of early) await strike(`before Welcome: ${name}`, turnstile.nextCall(vice));
  for (const [name, vice] of late) {
    await strike(
      name,
      new Promise((resolve) => {
        void turnstile.nextCall(
          afterWelcome((...call) => {
            vice(...call);
            resolve(performance.now());
          }),
        );
      }),
    );
  }

  writeFileSync(join(directory, "enough"), "");
  const { delivered, undelivered, result } = await agent.outcome;
  expect({ delivered, undelivered, exitCode: result.exitCode }).toEqual({
    delivered: true,
    undelivered: "",
    exitCode: 0,
  });
  expect(agent.output().endsWith("counted\n")).toBe(true);
  expect(await bytesLost(tracker, agent)).toBe(0);
  for (const fault of faults) record({ ...fault, bytesLost: 0, harmed: 0 });
  expect(faults).toHaveLength(bytes.length + early.length + late.length);
});

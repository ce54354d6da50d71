import fc from "fast-check";
import { expect, test } from "vitest";
import { type Action, actions, type Setting, settings } from "./histories/actions.ts";
import { examples } from "./histories/examples.ts";
import { History, seen, World } from "./histories/history.ts";

// The laws of jobs and their attempts, over random histories of a job: what agents, callers, time and restarts of the
// tracker can do to it, in any order. BELAY_HISTORIES=1500 tries more of them; a failure prints its seed, for BELAY_SEED.

/** Longest time for all histories together. Milliseconds. */
const TIME_LIMIT = 10_000;

test("The laws of a job and its attempts hold in every history", async () => {
  let world: World | undefined;
  let histories = 0;
  const history = async (setting: Setting, steps: Action[]): Promise<void> => {
    world ??= await World.begin();
    const one = new History(world, `j${++histories}`, setting);
    try {
      await one.begin();
      for (const step of steps) await one.take(step);
      await one.end();
    } catch (error) {
      // The next one begins with nothing of it.
      world = undefined;
      throw error;
    }
  };
  await fc.assert(fc.asyncProperty(settings, fc.array(actions, { minLength: 10, maxLength: 40 }), history), {
    examples,
    numRuns: Number(process.env["BELAY_HISTORIES"] ?? 150),
    ...(process.env["BELAY_HISTORIES"] === undefined ? { interruptAfterTimeLimit: TIME_LIMIT } : {}),
    ...(process.env["BELAY_SEED"] === undefined ? {} : { seed: Number(process.env["BELAY_SEED"]) }),
  });
  for (const what of [
    "takeover",
    "next attempt",
    "lost job taken",
    "cancel between attempts",
    "LOST for too long, and PENDING",
    "no agent in time",
    "a superseded session comes back",
    "late delivery",
    "three attempts",
    "restart",
    "SUCCEEDED",
  ]) {
    // A law about something that never happens says nothing.
    expect(seen.get(what) ?? 0, `${what}, in ${histories} histories`).toBeGreaterThan(0);
  }
}, 600_000);

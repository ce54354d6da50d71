import { readdir } from "node:fs/promises";
import { expect, it } from "vitest";
import { DEMO_TIME } from "../../src/cli/demo/demo-time.ts";
import { belay, tempDirectory } from "../helpers/cli.ts";
import { pictureOf, recordedPicture, shapeOf } from "../helpers/demo-picture.ts";

it("A user who runs belay demo sees all of Belay within 20 seconds, and nothing is left afterwards", async () => {
  const temp = await tempDirectory();
  const begin = performance.now();
  const demo = belay(["demo"], { env: { TMPDIR: temp, NODE_DISABLE_COMPILE_CACHE: "1" } });
  expect(await demo.ended, demo.stderr + demo.stdout).toBe(0);
  expect(performance.now() - begin).toBeLessThan(20_000);
  for (const line of [
    /agent +on /,
    /stdout +data is here/,
    /stdout +step 6 of 6/,
    /stderr +warning/,
    /metrics +cpu /,
    /heartbeat +the agent is alive/,
    /result +SUCCEEDED/,
    /log +complete: /,
    /status +the agent answers: 2 processes/,
    /SIGTERM sent to 2 processes/,
    /SIGKILL sent to 2 processes/,
    /no process left/,
    /Nothing is left/,
  ]) {
    expect(demo.stdout).toMatch(line);
  }
  expect(demo.stderr).toBe("");
  // A busy machine may be slower than help and README state; no machine is faster by more than a second.
  const seconds = Number(/\d+/.exec(DEMO_TIME));
  expect(performance.now() - begin).toBeGreaterThan((seconds - 1) * 1000);
  const recorded = recordedPicture();
  expect(recorded.length).toBeGreaterThan(25);
  const shapes = pictureOf(demo.stdout).map(shapeOf);
  // Two changes of the state at almost the same time may be shown as one.
  expect(recorded.map(shapeOf).filter((shape) => !shape.includes(" state ") && !shapes.includes(shape))).toEqual([]);
  expect(await readdir(temp)).toEqual([]);
}, 30_000);

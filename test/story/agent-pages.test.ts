import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import path from "node:path";
import { expect, it } from "vitest";
import { belay, tempDirectory, TrackerProcess } from "../helpers/cli.ts";

it("An agent answers a health probe, also while its tracker is down", async () => {
  const tracker = await TrackerProcess.start();
  const run = tracker.belay(
    "run",
    "--admin",
    "127.0.0.1:0",
    "--log-level",
    "info",
    "--",
    "sh",
    "-c",
    "echo on; sleep 1000",
  );
  const [, pages = ""] = await run.says(/pages=(http:\S+)/);
  await run.says(/^on$/m);
  expect((await fetch(`${pages}/readyz`)).status).toBe(200);
  expect(await (await fetch(`${pages}/metrics`)).text()).toMatch(/^belay_agent_connected 1$/m);
  await tracker.cli.kill("SIGKILL");
  while ((await fetch(`${pages}/readyz`)).status !== 503);
  expect((await fetch(`${pages}/healthz`)).status).toBe(200);
  run.child.kill("SIGKILL");
});

it("An agent that cannot serve its pages reports why, and runs nothing", async () => {
  const other = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => other.once("listening", resolve));
  const { port } = other.address() as AddressInfo;
  const marker = path.join(await tempDirectory(), "ran");
  const ends = async (admin: string): Promise<[number | NodeJS.Signals, string]> => {
    const run = belay(["run", "--tracker", "http://127.0.0.1:1", "--", "touch", marker], {
      env: { BELAY_ADMIN: admin },
    });
    return [await run.ended, run.stderr];
  };
  expect(await ends(`127.0.0.1:${port}`)).toEqual([
    125,
    `belay: Cannot listen on 127.0.0.1:${port}: another program is listening there\n`,
  ]);
  expect(await ends("0.0.0.0:0")).toEqual([64, expect.stringContaining("belay: Refusing to serve the agent's pages")]);
  expect(await ends("nowhere")).toEqual([64, expect.stringContaining('Cannot listen on "nowhere"')]);
  other.close();
});

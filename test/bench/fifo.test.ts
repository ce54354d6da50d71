import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { expect, test } from "vitest";
import { Fifo } from "./fifo.ts";
import { Stage } from "./stage.ts";

test("a named pipe that a process tree holds is closed when its last process has ended, and not before", async () => {
  await using stage = await Stage.open();
  const fifo = new Fifo(stage, "held");
  // The shell starts a process that outlives it, prints its id, and ends.
  const shell = spawn("sh", ["-c", `${fifo.hold}; sleep 1000 > /dev/null & echo $!`], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let output = "";
  shell.stdout.on("data", (chunk: Buffer) => (output += chunk.toString()));
  await fifo.opened;
  await once(shell, "close");
  let closed = false;
  void fifo.closed.then(() => (closed = true));
  // A turn of the event loop, in which a closed pipe would have been noticed.
  await new Promise(setImmediate);
  await new Promise(setImmediate);
  expect(closed).toBe(false);

  const before = Date.now();
  process.kill(Number(output), "SIGKILL");
  expect(await fifo.closed).toBeGreaterThanOrEqual(before - 1);
  expect(readdirSync(stage.directory).filter((name) => name.endsWith(".fifo"))).toEqual([]);
});

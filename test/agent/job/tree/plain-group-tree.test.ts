import { spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import { expect, it } from "vitest";
import { PlainGroupTree } from "../../../../src/agent/job/tree/plain-group-tree.ts";
import { readProcess } from "../../../../src/agent/job/tree/proc.ts";
import { eventually } from "../facts.ts";

it("a tree without /proc is measured and killed by its groups, and counts what ended processes used", async () => {
  const tree = new PlainGroupTree();
  // The leader does nothing; its child uses a second of processor, and another sleeps on.
  const burn = "my @t = times; 1 while (@t = times, $t[0] + $t[1] < 1)";
  const child = spawn("sh", ["-c", `sleep 1000 & perl -e '${burn}'; sleep 1000`], { detached: true, stdio: "ignore" });
  const gone = once(child, "exit");
  tree.adopt(child.pid ?? 0);
  const busy = await eventually(
    "the burning child is measured",
    () => {
      const usage = tree.usage();
      return usage.cpuSeconds > 0.3 && usage.memoryBytes > 0 && usage.processes === 3 ? usage : undefined;
    },
    30_000,
  );
  expect(busy).toMatchObject({ exact: false });
  expect(busy.threads).toBeUndefined();
  expect(busy.peakMemoryBytes).toBeGreaterThanOrEqual(busy.memoryBytes);
  const seen = await eventually(
    "it has ended",
    () => {
      const { processes, cpuSeconds } = tree.usage();
      return spawned(child.pid ?? 0) === "sleep sleep" && processes === 3 ? cpuSeconds : undefined;
    },
    30_000,
  );
  expect(seen).toBeGreaterThan(0.3);
  expect(tree.kill()).toHaveLength(1);
  await gone;
  await eventually("all are gone", () => tree.isEmpty());
  await eventually("nothing is measured", () => tree.usage().processes === 0);
  expect(tree.usage().cpuSeconds).toBeGreaterThanOrEqual(seen);
}, 60_000);

/** Names of a process's children. */
function spawned(pid: number): string {
  const children = fs.readFileSync(`/proc/${pid}/task/${pid}/children`, "latin1").trim().split(" ");
  return children.map((child) => readProcess(Number(child))?.name).join(" ");
}

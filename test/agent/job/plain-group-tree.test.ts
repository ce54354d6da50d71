import { spawn } from "node:child_process";
import { once } from "node:events";
import { expect, it } from "vitest";
import { PlainGroupTree } from "../../../src/agent/job/plain-group-tree.ts";
import { eventually } from "./facts.ts";

it("a tree without /proc is measured through its leaders, ended by its groups, and keeps what they used", async () => {
  const tree = new PlainGroupTree();
  const child = spawn("sh", ["-c", "while :; do :; done"], { detached: true, stdio: "ignore" });
  const gone = once(child, "exit");
  tree.adopt(child.pid ?? 0);
  const busy = await eventually("the leader is measured", () => {
    const usage = tree.usage();
    return usage.cpuSeconds > 0 && usage.memoryBytes > 0 ? usage : undefined;
  });
  expect(busy).toMatchObject({ processes: 1, exact: false });
  expect(busy.peakMemoryBytes).toBeGreaterThanOrEqual(busy.memoryBytes);
  expect(tree.kill()).toBe(1);
  await gone;
  expect(tree.isEmpty()).toBe(true);
  expect(tree.usage().cpuSeconds).toBeGreaterThan(0);
});

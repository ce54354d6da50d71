import fs from "node:fs";
import { describe, expect, it } from "vitest";
import { sleep } from "../../../src/base/clock.ts";
import { Driven, MODES, vice } from "./driver.ts";
import { eventually, isAlive } from "./facts.ts";

const VICES: [string, (mark: string, note: string) => string[]][] = [
  ["a program that ignores SIGTERM", () => [vice("ignores-sigterm.sh")]],
  ["a child in a session of its own", () => [vice("setsid-child.sh")]],
  ["a child that clears its environment", (mark) => [vice("clears-environment.sh"), mark]],
  ["a loop that forks 200 times a second", () => [vice("fork-loop.sh")]],
  ["a loop that forks sessions 200 times a second", () => [vice("fork-loop-setsid.sh")]],
  ["stopped processes", () => [vice("stopped.sh")]],
  ["a pipeline", () => [vice("pipeline.sh")]],
  ["children under nohup", () => [vice("nohup.sh")]],
];

describe.for(MODES)("A cancel $name", ({ skip, ...mode }) => {
  if (skip !== undefined) {
    it.skip(`is not tested: ${skip}`);
    return;
  }

  it.concurrent.for(VICES)("leaves nothing of %s", async ([, command]) => {
    await using agent = new Driven(mode, command);
    await agent.printed("ready");
    expect(agent.processes()).not.toEqual([]);
    agent.send({ end: { grace: 300 } });
    const result = await agent.result();
    expect(agent.processes()).toEqual([]);
    expect(result).toMatchObject({ outcome: "OUTCOME_CANCELED", reason: "END_REASON_CANCELED" });
    expect(result["evidence"]).toHaveProperty("treeEmptyTime");
    expect(result["evidence"]).not.toHaveProperty("survivors");
    await agent.exited();
    expect(agent.leftovers()).toEqual([]);
  });

  it.skipIf(mode.containment !== "cgroup")(
    "leaves nothing of a daemon whose title overwrote its environment, which only a cgroup finds",
    async () => {
      await using agent = new Driven(mode, (_mark, note) => [vice("daemon.pl"), note]);
      await agent.printed("ready");
      const daemon = Number(fs.readFileSync(agent.note, "utf8"));
      expect(isAlive(daemon)).toBe(true);
      agent.send({ end: { grace: 300 } });
      const result = await agent.result();
      expect(isAlive(daemon)).toBe(false);
      expect(result["evidence"]).toHaveProperty("treeEmptyTime");
    },
  );

  it("catches a chain of processes that each start the next and end", async () => {
    await using agent = new Driven(mode, (_mark, note) => [vice("comet.pl"), note]);
    const length = (): number => fs.statSync(agent.note, { throwIfNoEntry: false })?.size ?? 0;
    await agent.until("some generations", () => length() > 20);
    agent.send({ end: { grace: 100 } });
    const result = await agent.result();
    const before = length();
    expect(result["evidence"]).toHaveProperty("treeEmptyTime");
    expect(result["evidence"]).not.toHaveProperty("outputCut");
    // Absence takes time to show: some forty generations' worth.
    await sleep(200);
    expect(length()).toBe(before);
  });

  it("reaches even an orphan that cleared its environment, as long as it holds the job's output", async () => {
    await using agent = new Driven(mode, (mark) => [vice("clears-environment-orphaned.sh"), mark]);
    await agent.printed("ready");
    agent.send({ end: { grace: 100 } });
    const result = await agent.result();
    expect(agent.processes()).toEqual([]);
    expect(result["evidence"]).not.toHaveProperty("outputCut");
    await agent.exited();
  });

  // Without a cgroup, it is chance whether a scan falls into the short life of the orphan's parent.
  const byChance = mode.containment !== "cgroup";
  const silent = "reaches an orphan that cleared its environment and closed everything";
  it.skipIf(byChance)(`${silent}${byChance ? " (skipped: without a cgroup, by chance only)" : ""}`, async () => {
    await using agent = new Driven(mode, (mark) => [vice("clears-environment-orphaned.sh"), mark, "silent"]);
    await agent.printed("ready");
    agent.send({ end: { grace: 100 } });
    await agent.result();
    expect(agent.processes()).toEqual([]);
  });
});

describe.for(MODES)("A natural end $name", ({ skip, ...mode }) => {
  if (skip !== undefined) {
    it.skip(`is not tested: ${skip}`);
    return;
  }

  it("ends the processes that were left behind, even one that holds stdout", async () => {
    await using agent = new Driven(mode, () => [vice("holds-stdout.sh")]);
    expect(await agent.result()).toMatchObject({ reason: "END_REASON_EXITED", exitCode: 5 });
    expect(agent.output).toBe("ready\n");
    await agent.exited();
    expect(agent.processes()).toEqual([]);
    expect(agent.leftovers()).toEqual([]);
  });

  it("keeps descendants beyond the agent's own end if the spec asks for that, and nothing else", async () => {
    await using agent = new Driven(mode, () => [vice("holds-stdout.sh")], { keepDescendants: true });
    expect(await agent.result()).toMatchObject({ reason: "END_REASON_EXITED", exitCode: 5 });
    await agent.exited();
    const kept = await agent.until("the kept process", () =>
      agent.processes().find((line) => line.includes("sleep 1000")),
    );
    expect(agent.processes()).toEqual([kept]);
    expect(agent.leftovers()).toEqual([]);
    process.kill(Number.parseInt(kept, 10), "SIGKILL");
    await eventually("clean up", () => agent.processes().length === 0);
  });
});

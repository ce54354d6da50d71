import fs from "node:fs";
import { describe, expect, it } from "vitest";
import { Driven, MODES, vice } from "./driver.ts";
import { eventually, isAlive } from "./facts.ts";

/** Within this time of the agent's death nothing of the job is left. */
const LIMIT_MS = 1000;

const VICES: [string, (mark: string, note: string) => string[]][] = [
  ["a program that ignores SIGTERM", () => [vice("ignores-sigterm.sh")]],
  ["a child in a session of its own", () => [vice("setsid-child.sh")]],
  ["a fork loop", () => [vice("fork-loop.sh")]],
  ["stopped processes", () => [vice("stopped.sh")]],
];

describe.for(MODES)("When the agent dies $name", ({ skip, ...mode }) => {
  if (skip !== undefined) {
    it.skip(`is not tested: ${skip}`);
    return;
  }

  it.for(VICES)("by kill -9, nothing is left of %s", async ([, command]) => {
    await using agent = new Driven(mode, command);
    await agent.printed("ready");
    agent.child.kill("SIGKILL");
    await nothingLeft(agent);
  });

  it.skipIf(mode.containment !== "cgroup")(
    "by kill -9, nothing is left of a daemon whose title overwrote its environment, which only a cgroup finds",
    async () => {
      await using agent = new Driven(mode, (_mark, note) => [vice("daemon.pl"), note]);
      await agent.printed("ready");
      const daemon = Number(fs.readFileSync(agent.note, "utf8"));
      agent.child.kill("SIGKILL");
      await agent.until("daemon gone", () => !isAlive(daemon), LIMIT_MS);
      await nothingLeft(agent);
    },
  );

  it.for([
    ["", false],
    [", its watcher having been replaced", true],
  ] as const)(
    "of kill -9, nothing is left of a daemon that it knew before it cleared its environment%s",
    async (given) => {
      const [, replaced] = given;
      await using agent = new Driven(mode, (mark, note) => [vice("clears-environment-later.sh"), mark, note]);
      await agent.printed("ready");
      // To pause a job, the agent looks for all of its processes.
      agent.send({ pause: true });
      await agent.until("pause", () => agent.lines.some((line) => line["paused"] === true));
      agent.send({ resume: true });
      if (replaced) await replaceWatcher(agent);
      fs.writeFileSync(agent.note, "");
      await agent.printed("cleared");
      agent.child.kill("SIGKILL");
      await nothingLeft(agent);
    },
  );

  it("by kill -9 while a step after the end runs, nothing is left", async () => {
    await using agent = new Driven(mode, () => ["true"], { after: [{ run: `exec ${vice("setsid-child.sh")}` }] });
    await agent.printed("ready");
    agent.child.kill("SIGKILL");
    await nothingLeft(agent);
  });

  it("by kill -9 while a step after the end runs, what the job may keep is left, and nothing else", async () => {
    await using agent = new Driven(mode, () => ["sh", "-c", "setsid sleep 1234 > /dev/null 2>&1 &"], {
      keepDescendants: true,
      after: [{ run: `exec ${vice("setsid-child.sh")}` }],
    });
    await agent.printed("ready");
    const isKept = (line: string): boolean => line.includes("sleep 1234");
    agent.child.kill("SIGKILL");
    await agent.until("all others gone", () => agent.processes().every(isKept));
    const kept = agent.processes().filter(isKept);
    expect(kept).toHaveLength(1);
    process.kill(Number.parseInt(kept[0] ?? "", 10), "SIGKILL");
    expect(agent.leftovers()).toEqual([]);
  });

  it("by kill -9 while it is stopped, nothing is left", async () => {
    await using agent = new Driven(mode, () => [vice("setsid-child.sh")]);
    await agent.printed("ready");
    agent.child.kill("SIGSTOP");
    agent.child.kill("SIGKILL");
    await nothingLeft(agent);
  });

  it("while the job is paused, nothing is left", async () => {
    await using agent = new Driven(mode, () => [vice("setsid-child.sh")]);
    await agent.printed("ready");
    agent.send({ pause: true });
    await agent.until("pause", () => agent.lines.some((line) => line["paused"] === true));
    agent.child.kill("SIGKILL");
    await nothingLeft(agent);
  });

  it("with a parent that was killed, nothing is left once it dies, too", async () => {
    // The shell is the agent's parent.
    await using agent = new Driven(mode, () => [vice("setsid-child.sh")], {}, [
      "sh",
      "-c",
      'exec 3<&0; "$@" <&3 3<&- & echo "{\\"agent\\":$!}"; wait',
      "sh",
    ]);
    await agent.printed("ready");
    const pid = Number(agent.lines.find((line) => line["agent"] !== undefined)?.["agent"]);
    agent.child.kill("SIGKILL");
    await agent.exited();
    // It does not depend on its parent.
    expect(agent.processes().length).toBeGreaterThan(2);
    process.kill(pid, "SIGKILL");
    await nothingLeft(agent);
  });

  it("the watcher does not: signals to it and to the terminal's group leave it in place", async () => {
    await using agent = new Driven(mode, () => [vice("ignores-sigterm.sh")]);
    await agent.printed("ready");
    const watcher = agent.processes().find((line) => line.includes("belay-watcher")) ?? "";
    for (const signal of ["SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT"]) process.kill(Number.parseInt(watcher, 10), signal);
    agent.child.kill("SIGKILL");
    await nothingLeft(agent);
  });

  it("a watcher that was killed has been replaced", async () => {
    await using agent = new Driven(mode, () => [vice("setsid-child.sh")]);
    await agent.printed("ready");
    await replaceWatcher(agent);
    agent.child.kill("SIGKILL");
    await nothingLeft(agent);
  });
});

async function replaceWatcher(agent: Driven): Promise<void> {
  const find = (): string | undefined => agent.processes().find((line) => line.includes("belay-watcher"));
  const first = find() ?? "";
  process.kill(Number.parseInt(first, 10), "SIGKILL");
  await eventually("another watcher", () => find() !== undefined && find() !== first);
}

async function nothingLeft(agent: Driven): Promise<void> {
  await agent.until("processes gone", () => agent.processes().filter(isJobs).length === 0, LIMIT_MS);
  await agent.until("watcher gone", () => agent.processes().length === 0);
  expect(agent.leftovers()).toEqual([]);
}

function isJobs(line: string): boolean {
  return !line.includes("belay-watcher");
}

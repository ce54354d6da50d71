import fs from "node:fs";
import { describe, expect, it } from "vitest";
import { Driven, MODES } from "../driver.ts";
import { eventually } from "../facts.ts";
import { Frozen, noFreezer } from "../../../helpers/freezer.ts";

/** A ladder gives up soon. That it does after five seconds is shown in ladder.test. */
const TIMING = { sweep: 500 };

/** Waits until a process runs this command. */
async function runs(pid: number, command: string): Promise<void> {
  await eventually(command, () => fs.readFileSync(`/proc/${pid}/cmdline`, "latin1").replaceAll("\0", " ") === command);
}

describe.for(MODES)("A process that outlives SIGKILL $name", ({ skip, ...mode }) => {
  const why = skip ?? noFreezer;
  if (why !== undefined) {
    it.skip(`is not tested: ${why}`);
    return;
  }

  it("is named in the result of a canceled job; it ends as soon as it can, and everything is cleaned up", async () => {
    await using agent = new Driven(mode, () => ["sh", "-c", "echo ready; exec sleep 1000 >&- 2>&-"], {}, [], TIMING);
    const pid = await agent.until("the start", () => agent.lines.find((line) => line["started"] !== undefined)?.pid);
    await runs(pid, "sleep 1000 ");
    await using frozen = await Frozen.freeze(pid);
    agent.send({ end: { grace: 100 } });
    const result = await agent.result();
    expect(result).toMatchObject({
      outcome: "OUTCOME_CANCELED",
      reason: "END_REASON_CANCELED",
      message: `Canceled by the test; 1 process outlived SIGKILL: ${pid} sleep 1000`,
      evidence: { survivors: [{ pid, state: "D", command: "sleep 1000" }] },
    });
    expect(result).not.toHaveProperty("exitCode");
    expect(result["evidence"]).not.toHaveProperty("treeEmptyTime");
    const { signals } = result["evidence"] as unknown as { signals: { signal: string; processes: number }[] };
    expect(signals[0]).toMatchObject({ signal: "SIGTERM", processes: 1 });
    expect(signals.at(-1)).toMatchObject({ signal: "SIGKILL", processes: 1 });
    // Its SIGKILL is repeated, and what is kept of that has a bound.
    expect(signals.length).toBeLessThanOrEqual(50);
    agent.child.kill("SIGKILL");
    await agent.exited();
    frozen.thaw();
    await agent.until("an end", () => agent.processes().length === 0);
    await agent.until("no leftovers", () => agent.leftovers().length === 0);
  });
});

describe("A process that outlives SIGKILL", () => {
  it.skipIf(noFreezer !== undefined)("is named when the main command ended by itself and left it behind", async () => {
    const mode = { name: "", containment: "process-group" } as const;
    const script = 'sleep 1000 >&- 2>&- & echo "$!"; until [ -e "$1" ]; do sleep 0.02; done; exit 5';
    await using agent = new Driven(mode, (_mark, note) => ["sh", "-c", script, "sh", note], {}, [], TIMING);
    await agent.until("the pid", () => agent.output.endsWith("\n"));
    const pid = Number(agent.output);
    await runs(pid, "sleep 1000 ");
    await using frozen = await Frozen.freeze(pid);
    fs.writeFileSync(agent.note, "");
    expect(await agent.result()).toMatchObject({
      outcome: "OUTCOME_FAILED",
      exitCode: 5,
      message: `Main command exited with code 5; 1 process outlived SIGKILL: ${pid} sleep 1000`,
      evidence: { survivors: [{ pid }] },
    });
    frozen.thaw();
    await agent.until("an end", () => agent.processes().length === 0);
    await agent.exited();
  });
});

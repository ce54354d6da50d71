import { describe, expect, it } from "vitest";
import { END_TIMING } from "../../../../src/agent/job/end/end-timing.ts";
import { Ladder, type TreeEnd } from "../../../../src/agent/job/end/ladder.ts";
import { type ProcessEntry, readProcess } from "../../../../src/agent/job/tree/proc.ts";
import type { ProcessTree } from "../../../../src/agent/job/tree/tree.ts";

/** A tree of which one process, in truth our own, is never killed; where processes can be frozen, see survivors.test. */
class UnkillableTree {
  readonly sent: string[] = [];
  protected member = readProcess(process.pid) as ProcessEntry;

  members(): ProcessEntry[] {
    return [this.member];
  }
  isEmpty(): boolean {
    return false;
  }
  signal(signal: string): number {
    this.sent.push(signal);
    return 1;
  }
  kill(): ProcessEntry[] {
    this.signal("SIGKILL");
    return this.members();
  }
  thaw(): void {}
}

/** A tree whose one process is another one after each SIGKILL, with the same pid. */
class RespawningTree extends UnkillableTree {
  override kill(): ProcessEntry[] {
    const killed = super.kill();
    this.member = { ...this.member, startTime: this.member.startTime + 1 };
    return killed;
  }
}

/** @param sweep for how long SIGKILL is repeated, in milliseconds */
async function climb(tree: UnkillableTree, sweep: number = END_TIMING.sweep): Promise<TreeEnd> {
  const ladder = new Ladder(
    tree as Partial<ProcessTree> as ProcessTree,
    { stop: 0, kill: 3_600_000 },
    { ...END_TIMING, sweep },
  );
  const climbed = ladder.climb("SIGUSR1");
  ladder.shorten({ stop: 0, kill: 0 });
  return await climbed;
}

describe("A ladder", () => {
  it.concurrent("repeats SIGKILL for five seconds for a process that does not end, records it once, and names it", async () => {
    const tree = new UnkillableTree();
    const start = performance.now();
    const end = await climb(tree);
    expect(performance.now() - start).toBeGreaterThan(4_900);
    expect(end.emptyTime).toBeUndefined();
    expect(end.survivors).toEqual(tree.members());
    expect(tree.sent.slice(0, 3)).toEqual(["SIGUSR1", "SIGKILL", "SIGKILL"]);
    expect(end.rounds.map(({ signal, processes }) => [signal, processes])).toEqual([
      ["SIGUSR1", 1],
      ["SIGKILL", 1],
    ]);
  });

  it.concurrent("records each round that reached a new process, but no more than fifty", async () => {
    const tree = new RespawningTree();
    const end = await climb(tree);
    expect(tree.sent.length).toBeGreaterThan(50);
    expect(end.rounds.map(({ signal }) => signal)).toEqual(tree.sent.slice(0, 50));
  });
});

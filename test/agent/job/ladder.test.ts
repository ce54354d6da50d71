import { describe, expect, it } from "vitest";
import { Ladder } from "../../../src/agent/job/ladder.ts";
import { type ProcessEntry, readProcess } from "../../../src/agent/job/proc.ts";
import type { ProcessTree } from "../../../src/agent/job/tree.ts";

/** A tree of which one process, in truth our own, is never killed; where processes can be frozen, see survivors.test. */
class Immortal {
  readonly sent: string[] = [];
  private readonly member = readProcess(process.pid) as ProcessEntry;

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
  kill(): number {
    return this.signal("SIGKILL");
  }
  thaw(): void {}
}

describe("A ladder", () => {
  it("repeats SIGKILL for five seconds at what does not end, then names it, with a bound on what it notes", async () => {
    const tree = new Immortal();
    const ladder = new Ladder(tree as Partial<ProcessTree> as ProcessTree, 3_600_000);
    const start = performance.now();
    const climbed = ladder.climb("SIGUSR1");
    ladder.shorten(0);
    const end = await climbed;
    expect(performance.now() - start).toBeGreaterThan(4_900);
    expect(end.emptyTime).toBeUndefined();
    expect(end.survivors).toEqual(tree.members());
    expect(tree.sent.slice(0, 3)).toEqual(["SIGUSR1", "SIGKILL", "SIGKILL"]);
    expect(end.rounds.map(({ signal }) => signal)).toEqual(tree.sent.slice(0, 50));
  });
});

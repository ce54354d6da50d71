import { sleep, systemClock } from "../../../base/clock.ts";
import type { EndTiming } from "./end-timing.ts";
import { Ladder, type TreeEnd } from "./ladder.ts";
import type { JobOutput } from "../output/output.ts";
import { pipeHolders } from "../tree/pipe-holders.ts";
import type { ProcessTree } from "../tree/tree.ts";

/** Processes that the main command left behind may end by themselves while they print, and for this long afterwards. */
const SETTLE_MS = 100;
/** The same, but no longer than this in all. */
const LONGEST_SETTLE_MS = 2000;
/** Longest time between stop signal and SIGKILL for processes that were left behind. */
const LEFTOVER_GRACE_MS = 2000;
/** A pipe that is still open this long after the last known process has ended is held by an unknown process. */
const HOLDER_MS = 50;

/** What a closing works with. */
export interface ClosingOptions {
  readonly tree: ProcessTree;
  readonly output: JobOutput;
  /** Directory in which the job's pipes were made. */
  readonly pipes: string;
  /** Milliseconds between stop signal and SIGKILL that the job was given. */
  readonly grace: number;
  readonly timing: EndTiming;
}

/**
 * What comes after the last step: processes that are left are ended, then the pipes are read to their end. Each has a
 * bound in time, which does not count while the reader of the output is full.
 */
export class Closing {
  private readonly options: ClosingOptions;
  private ladder: Ladder | undefined;

  constructor(options: ClosingOptions) {
    this.options = options;
  }

  /** Sends SIGKILL to processes that are left earlier than planned. */
  shorten(grace: number): void {
    this.ladder?.shorten({ stop: 0, kill: grace });
  }

  /**
   * Gives the processes that are left a moment to end by themselves, then ends them.
   *
   * @param onForce called before the first signal, while the processes can still be described
   */
  async endLeftovers(onForce: () => void): Promise<TreeEnd> {
    if (await this.settled()) return { rounds: [], emptyTime: systemClock.unixMs(), survivors: [] };
    onForce();
    return this.climb();
  }

  /** Finds processes by the pipes that they hold, where nothing else found them, and ends them, too. */
  async endHolders(before: TreeEnd, onForce: () => void): Promise<TreeEnd> {
    const { tree, output, pipes } = this.options;
    if (output.ended || (await this.endedWithin(HOLDER_MS))) return before;
    // Processes that have outlived SIGKILL would outlive it again.
    const survivors = new Set(before.survivors.map(({ pid }) => pid));
    const holders = pipeHolders(pipes).filter(({ pid }) => !survivors.has(pid));
    if (holders.length === 0) return before;
    tree.claim(holders);
    onForce();
    const end = await this.climb();
    return { ...end, rounds: [...before.rounds, ...end.rounds] };
  }

  /**
   * Reads all pipes to their end.
   *
   * @returns whether one was given up because a process still holds it, so that output may be missing
   */
  async finishOutput(): Promise<boolean> {
    const { output, timing } = this.options;
    while (!output.ended) {
      const left = timing.outputSilence - output.stillFor;
      if (left <= 0) {
        output.close();
        return true;
      }
      await this.endedWithin(Math.min(left, 1000));
    }
    return false;
  }

  /** Whether the tree empties by itself: readers of a pipeline end a moment later than what they read from. */
  private async settled(): Promise<boolean> {
    const { tree, output } = this.options;
    const start = performance.now();
    for (let pause = 1; ; pause = Math.min(pause * 2, 25)) {
      if (tree.isEmpty()) return true;
      const passed = performance.now() - start;
      const over = passed >= LONGEST_SETTLE_MS && !output.isFull;
      if (over || Math.min(output.stillFor, passed) >= SETTLE_MS) return false;
      await sleep(pause);
    }
  }

  private climb(): Promise<TreeEnd> {
    const { tree, grace, timing } = this.options;
    this.ladder = new Ladder(tree, { stop: 0, kill: Math.min(grace, LEFTOVER_GRACE_MS) }, timing);
    return this.ladder.climb("SIGTERM");
  }

  private async endedWithin(ms: number): Promise<boolean> {
    const { output } = this.options;
    const waiting = new AbortController();
    await Promise.race([output.whenEnded(), sleep(ms, waiting.signal)]);
    waiting.abort();
    return output.ended;
  }
}

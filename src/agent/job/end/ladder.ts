import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { sleep, systemClock } from "../../../base/clock.ts";
import type { Signal } from "../../../base/process/signals.ts";
import { type SignalRound, SignalRoundSchema } from "../../../gen/belay/v1/job_pb.ts";
import { identity } from "../tree/deliver.ts";
import type { ProcessEntry } from "../tree/proc.ts";
import type { ProcessTree } from "../tree/tree.ts";
import { END_TIMING, type EndTiming } from "./end-timing.ts";

/** A process without clean-up ends within this time of its signal: until then the tree is checked without a pause. */
const AT_ONCE_MS = 1;
/** Until then the tree is checked in each turn of the event loop. */
const SOON_MS = 3;
/** Longest pause between two checks of the tree during the grace period. */
const LONGEST_CHECK_MS = 50;
/** Rounds kept in the evidence; a fork loop can make many. */
const MOST_ROUNDS = 50;

/** How a process tree ended. */
export interface TreeEnd {
  /** Each signal that reached a process, in order; SIGKILL with the processes that had not been sent it before. */
  readonly rounds: SignalRound[];
  /** When nothing was left, milliseconds since the Unix epoch. Undefined: some survived. */
  readonly emptyTime: number | undefined;
  readonly survivors: ProcessEntry[];
}

/**
 * Ends every process of a tree: stop signal → grace → SIGKILL, repeated until none is left. The grace period may be
 * shortened while it runs.
 */
export class Ladder {
  private readonly tree: ProcessTree;
  private readonly timing: EndTiming;
  private deadline: number;
  private wake = new AbortController();

  /** @param grace milliseconds from now to SIGKILL; 0: at once */
  constructor(tree: ProcessTree, grace: number, timing: EndTiming = END_TIMING) {
    this.tree = tree;
    this.timing = timing;
    this.deadline = performance.now() + grace;
  }

  /** Sends SIGKILL earlier than planned, never later. */
  shorten(grace: number): void {
    this.deadline = Math.min(this.deadline, performance.now() + grace);
    this.checkNow();
  }

  /** Checks the tree now, because a process has ended. */
  checkNow(): void {
    this.wake.abort();
  }

  async climb(stopSignal: Signal): Promise<TreeEnd> {
    const rounds: SignalRound[] = [];
    const note = (signal: string, time: number, processes: number): void => {
      if (processes === 0 || rounds.length >= MOST_ROUNDS) return;
      rounds.push(create(SignalRoundSchema, { signal, sendTime: timestampFromMs(time), processes }));
    };
    if (performance.now() < this.deadline) {
      const time = systemClock.unixMs();
      note(stopSignal, time, this.tree.signal(stopSignal, "wake"));
      this.tree.thaw();
      if (await this.emptyBefore(() => this.deadline))
        return { rounds, emptyTime: systemClock.unixMs(), survivors: [] };
    }
    const killed = new Set<string>();
    const lastAttempt = performance.now() + this.timing.sweep;
    for (let pause = 1; performance.now() < lastAttempt; pause = Math.min(pause * 2, 20)) {
      if (this.tree.isEmpty()) return { rounds, emptyTime: systemClock.unixMs(), survivors: [] };
      const time = systemClock.unixMs();
      // A process that was killed before and is still dying is not counted again.
      const fresh = this.tree
        .kill()
        .map(identity)
        .filter((id) => !killed.has(id));
      for (const id of fresh) killed.add(id);
      note("SIGKILL", time, fresh.length);
      const until = performance.now() + pause;
      if (await this.emptyBefore(() => until)) return { rounds, emptyTime: systemClock.unixMs(), survivors: [] };
    }
    const survivors = this.tree.members();
    return { rounds, emptyTime: survivors.length === 0 ? systemClock.unixMs() : undefined, survivors };
  }

  private async emptyBefore(deadline: () => number): Promise<boolean> {
    const start = performance.now();
    for (let pause = 1; ; ) {
      if (this.tree.isEmpty()) return true;
      const now = performance.now();
      const left = deadline() - now;
      if (left <= 0) return false;
      if (now < start + AT_ONCE_MS) continue;
      if (now < start + SOON_MS) {
        await new Promise((resolve) => setImmediate(resolve));
        continue;
      }
      if (this.wake.signal.aborted) this.wake = new AbortController();
      await sleep(Math.min(pause, left), this.wake.signal);
      pause = Math.min(pause * 1.5, LONGEST_CHECK_MS);
    }
  }
}

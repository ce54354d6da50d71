import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { sleep, systemClock } from "../../../base/clock.ts";
import type { Signal } from "../../../base/process/signals.ts";
import { type SignalRound, SignalRoundSchema } from "../../../gen/belay/v1/job_pb.ts";
import { identity } from "../tree/deliver.ts";
import type { ProcessEntry } from "../tree/proc.ts";
import type { ProcessTree } from "../tree/tree.ts";
import { END_TIMING, type EndTiming } from "./end-timing.ts";
import type { Rungs } from "./rungs.ts";

/** A process without clean-up ends within this time of its signal: until then the tree is checked without a pause. */
const AT_ONCE_MS = 1;
/** Until then the tree is checked in each turn of the event loop. */
const SOON_MS = 3;
/** Longest pause between two checks of the tree during the grace period. */
const LONGEST_CHECK_MS = 50;
/**
 * What the command leaves behind when it ends after the warning, such as the reader of a pipeline, may end by itself for
 * this long before it is sent the stop signal.
 */
const LEFT_BEHIND_MS = 100;
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
 * Ends every process of a tree: warning → its period → stop signal → grace → SIGKILL, repeated until none is left. Both
 * times may be shortened while they run.
 */
export class Ladder {
  private readonly tree: ProcessTree;
  private readonly timing: EndTiming;
  private stop: number;
  private deadline: number;
  private wake = new AbortController();

  /** @param rungs when each signal is sent, from now */
  constructor(tree: ProcessTree, { stop, kill }: Rungs, timing: EndTiming = END_TIMING) {
    const now = performance.now();
    this.tree = tree;
    this.timing = timing;
    this.stop = now + stop;
    this.deadline = now + kill;
  }

  /** Sends the stop signal and SIGKILL earlier than planned, never later. */
  shorten({ stop, kill }: Rungs): void {
    const now = performance.now();
    this.stop = Math.min(this.stop, now + stop);
    this.deadline = Math.min(this.deadline, now + kill);
    this.wake.abort();
  }

  /** Checks the tree now, because a step has ended. What it left behind does not wait for the end of the warning. */
  stepEnded(): void {
    const early = Math.max(0, this.stop - performance.now() - LEFT_BEHIND_MS);
    this.stop -= early;
    this.deadline -= early;
    this.wake.abort();
  }

  /** @param warn sends the warning, if there is time for one */
  async climb(stopSignal: Signal, warn?: () => void): Promise<TreeEnd> {
    const rounds: SignalRound[] = [];
    const note = (signal: string, time: number, processes: number): void => {
      if (processes === 0 || rounds.length >= MOST_ROUNDS) return;
      rounds.push(create(SignalRoundSchema, { signal, sendTime: timestampFromMs(time), processes }));
    };
    if (performance.now() < this.stop) {
      warn?.();
      if (await this.emptyBefore(() => this.stop)) return { rounds, emptyTime: systemClock.unixMs(), survivors: [] };
    }
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

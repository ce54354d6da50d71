import { systemClock } from "../../base/clock.ts";
import type { TreeEnd } from "./end/ladder.ts";
import type { Verdict } from "./end/verdict.ts";
import type { EndOrder } from "./types.ts";

/** An end that was ordered: under way or over. */
export interface OrderedEnd {
  readonly order: EndOrder;
  /** Milliseconds since the Unix epoch. */
  readonly askTime: number;
  /** Resolves when the processes have ended, or have outlived SIGKILL. */
  readonly tree: Promise<TreeEnd>;
}

/** What decides how a job ends. */
export type FirstCause =
  | ({ readonly kind: "ordered" } & OrderedEnd)
  | { readonly kind: "natural"; readonly verdict: Verdict };

/** Why a job ends. Its law: the first cause wins and is kept; a later one changes nothing. */
export class Cause {
  private decided: FirstCause | undefined;
  private readonly aborted = new AbortController();
  private readonly arrival = Promise.withResolvers<OrderedEnd>();

  /** Undefined: nothing has decided the end yet. */
  get first(): FirstCause | undefined {
    return this.decided;
  }

  /** The order, if an order came first. */
  get ordered(): OrderedEnd | undefined {
    return this.decided?.kind === "ordered" ? this.decided : undefined;
  }

  /** Resolves with the order that came first, also when that was before the call. Stays pending if no order does. */
  get whenOrdered(): Promise<OrderedEnd> {
    return this.arrival.promise;
  }

  /** Aborted when an order comes first. */
  get orderSignal(): AbortSignal {
    return this.aborted.signal;
  }

  /**
   * An order to end the job.
   *
   * @param endTree begins to end the processes; called at once, and only if the order comes first
   * @returns whether it comes first
   */
  order(order: EndOrder, endTree: () => Promise<TreeEnd>): boolean {
    if (this.decided !== undefined) return false;
    const askTime = systemClock.unixMs();
    // The first signal is sent before anything else is done: the first abort in a process takes 0.6 ms.
    const ordered = { kind: "ordered", order, askTime, tree: endTree() } as const;
    this.decided = ordered;
    this.aborted.abort();
    this.arrival.resolve(ordered);
    return true;
  }

  /** The job has ended by itself. @returns whether this comes first */
  natural(verdict: Verdict): boolean {
    if (this.decided !== undefined) return false;
    this.decided = { kind: "natural", verdict };
    return true;
  }
}

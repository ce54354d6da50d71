import { within } from "../base/deadline.ts";
import { messageOf } from "../base/errors.ts";
import type { LoopDelay } from "./metrics/gauges.ts";
import type { Store } from "./store/types.ts";

/** Longest recent delay of the event loop with which the tracker is ready. */
const STALL_MS = 2_000;
/** Longest wait for the store. */
const PROBE_TIMEOUT_MS = 5_000;

/** Whether this tracker can accept work: the answer of both `/readyz` and grpc.health.v1. */
export class Readiness {
  private readonly store: Store;
  private readonly loop: LoopDelay;
  private stopping = false;

  constructor(store: Store, loop: LoopDelay) {
    this.store = store;
    this.loop = loop;
  }

  /** The tracker stops. */
  stop(): void {
    this.stopping = true;
  }

  /** Whether calls are accepted, ready or not. */
  get isServing(): boolean {
    return !this.stopping;
  }

  /** Why the tracker is not ready. Undefined: it is ready. Never rejects. */
  async why(): Promise<string | undefined> {
    if (this.stopping) return "stopping";
    const { worst } = this.loop;
    if (worst > STALL_MS) return `the event loop was blocked for ${Math.round(worst)} ms`;
    const probed = this.store.probe().then(
      () => undefined,
      (error: unknown) => `the store cannot be written: ${messageOf(error)}`,
    );
    return within(PROBE_TIMEOUT_MS, probed, () => `the store did not answer within ${PROBE_TIMEOUT_MS} ms`);
  }
}

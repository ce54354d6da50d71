import type { Clock } from "../../base/clock.ts";
import type { Store } from "../store/types.ts";
import type { JobRegistry } from "./registry.ts";

/** The dependencies of functions that read and change jobs. */
export interface JobContext {
  readonly registry: JobRegistry;
  readonly store: Store;
  readonly clock: Clock;
}

import type { Clock } from "../../base/clock.ts";
import type { Store } from "../store/types.ts";
import type { JobRegistry } from "./registry.ts";

/** What nearly everything that works on jobs needs. */
export interface JobContext {
  readonly registry: JobRegistry;
  readonly store: Store;
  readonly clock: Clock;
}

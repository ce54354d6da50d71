import type { SlabPool } from "./frame.ts";
import { type FullPolicy, LaneSpool } from "./lane-spool.ts";

/** A spool that keeps everything in memory. See `Spool` for its law. */
export class MemorySpool extends LaneSpool {
  constructor(pool: SlabPool, limit?: number, onFull?: FullPolicy) {
    super({ pool, memoryLimit: limit, onFull });
  }
}

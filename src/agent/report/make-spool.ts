import { GiB } from "../../base/text/sizes.ts";
import type { AgentOptions } from "../options.ts";
import { openSpool, type OpenSpoolOptions } from "./disk/open.ts";
import type { SlabPool } from "./frame.ts";
import { DEFAULT_MEMORY_LIMIT } from "./lane-spool.ts";
import { MemorySpool } from "./memory-spool.ts";
import type { Spool } from "./spool.ts";

const DEFAULT_LIMIT = GiB;

/** The spool that an agent's options ask for. */
export function makeSpool(
  options: Pick<AgentOptions, "spoolDirectory" | "spoolLimit" | "onSpoolFull">,
  identity: OpenSpoolOptions["identity"],
  pool: SlabPool,
  onTrouble: (message: string) => void,
): Spool {
  const { spoolDirectory: directory, spoolLimit: limit = DEFAULT_LIMIT, onSpoolFull: onFull } = options;
  const memoryLimit = Math.min(limit, DEFAULT_MEMORY_LIMIT);
  if (directory === undefined) return new MemorySpool(pool, memoryLimit, onFull);
  return openSpool({ directory, identity, pool, limit, memoryLimit, onFull, onTrouble });
}

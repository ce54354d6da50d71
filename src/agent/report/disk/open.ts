import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { makeDirectories } from "../../../base/files/directories.ts";
import { removeAll } from "../../../base/files/remove.ts";
import type { AgentInfo } from "../../../gen/belay/v1/job_pb.ts";
import type { SlabPool } from "../frame.ts";
import { type FullPolicy, LaneSpool } from "../lane-spool.ts";
import { lockSpool } from "./lock-spool.ts";
import { writeMeta } from "./meta.ts";
import { SpoolDirectory, troubleWith } from "./spool-directory.ts";

/** Options of the spool of a new run. */
export interface OpenSpoolOptions {
  /** Each run has a directory of its own in it, named after its session. Made if it is missing. */
  readonly directory: string;
  readonly identity: { readonly sessionId: string; readonly jobId: string; readonly agent: AgentInfo };
  readonly pool: SlabPool;
  /** Most bytes on disk. */
  readonly limit?: number | undefined;
  /** Most bytes of records in memory. @default 8 MiB */
  readonly memoryLimit?: number | undefined;
  readonly onFull?: FullPolicy | undefined;
  /** Called with a sentence for users when the disk cannot be used. */
  readonly onTrouble: (message: string) => void;
}

/** Makes the spool of a new run. In memory only if the directory cannot be used: that must not stop the job. */
export function openSpool(options: OpenSpoolOptions): LaneSpool {
  const { pool, limit, memoryLimit, onFull } = options;
  const directory = makeDirectory(options);
  if (directory !== undefined) return new LaneSpool({ pool, memoryLimit, diskLimit: limit, onFull, directory });
  return new LaneSpool({ pool, memoryLimit, onFull });
}

function makeDirectory({ directory, identity, onTrouble }: OpenSpoolOptions): SpoolDirectory | undefined {
  const path = join(directory, identity.sessionId);
  let unlock: (() => void) | undefined;
  let taken = false;
  try {
    makeDirectories(directory, 0o700);
    mkdirSync(path, { mode: 0o700 });
    unlock = lockSpool(path);
    taken = unlock === undefined;
    if (unlock === undefined) throw new Error("another process is using it");
    const full = { ...identity, attempt: 0, created: Date.now() };
    writeMeta(path, full);
    return new SpoolDirectory({
      path,
      unlock,
      identity: full,
      onTrouble,
      monotonic: () => performance.now(),
    });
  } catch (error) {
    // There is nothing in it yet.
    if (!taken) removeAll(path);
    unlock?.();
    onTrouble(`${troubleWith(path, error)}. The job goes on; output is kept in memory`);
    return undefined;
  }
}

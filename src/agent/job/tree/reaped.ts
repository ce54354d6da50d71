import fs from "node:fs";
import { hasProc, readProcess } from "./proc.ts";
import { type ProcessIo, readIo } from "./process-io.ts";

/** What ended processes have used, including the children that they waited for. */
export interface Reaped {
  /** Clock ticks of processor time. */
  readonly ticks: number;
  readonly io: ProcessIo;
}

const NOTHING: Reaped = { ticks: 0, io: { read: 0, written: 0 } };

let before: Reaped = NOTHING;

/**
 * What was added to this process's account of ended children since the last call. When we wait for a child, the kernel
 * adds what the child used, and what the child's own waited-for children used. So a call right after one of its children
 * has ended returns everything that the child used, to its last instruction. Must be called after each child that uses
 * more than a little, also after one that is not the job's. Children that end at the same moment are counted together.
 */
export function takeReaped(): Reaped {
  if (!hasProc()) return NOTHING;
  const now = { ticks: readProcess(process.pid)?.childTicks ?? 0, io: childrenIo() };
  const since = {
    ticks: now.ticks - before.ticks,
    io: {
      read: Math.max(0, now.io.read - before.io.read),
      written: Math.max(0, now.io.written - before.io.written),
    },
  };
  before = now;
  return since;
}

/** A process's account includes the children that it waited for; its threads' accounts do not. */
function childrenIo(): ProcessIo {
  const all = readIo("/proc/self/io");
  if (all === undefined) return NOTHING.io;
  let { read, written } = all;
  for (const thread of fs.readdirSync("/proc/self/task")) {
    const own = readIo(`/proc/self/task/${thread}/io`);
    read -= own?.read ?? 0;
    written -= own?.written ?? 0;
  }
  return { read, written };
}

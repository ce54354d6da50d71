import fs from "node:fs";
import { hasProc, readProcess } from "./proc.ts";
import { type ProcessIo, readIo } from "./process-io.ts";

/** What ended processes have used, those that they had waited for included. */
export interface Reaped {
  /** Clock ticks of processor time. */
  readonly ticks: number;
  readonly io: ProcessIo;
}

const NOTHING: Reaped = { ticks: 0, io: { read: 0, written: 0 } };

let before: Reaped = NOTHING;

/**
 * What was added to this process's account of ended children since the last call. The kernel adds a child, and all that
 * the child had waited for, when it is waited for: so the one who asks whenever one of ours has ended knows what that
 * one has used in all, to its last instruction. To be called for each child that uses more than a little, whosoever it is;
children that end in one and the same moment are told apart by nobody.
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

/** The account of a process includes the children that it waited for; those of its threads do not. */
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

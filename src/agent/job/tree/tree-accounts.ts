import { type Account, Ledger, type ProcessReader } from "./ledger.ts";
import { pidExists, type ProcessEntry, readProcess, TICKS_PER_SECOND } from "./proc.ts";
import { type ProcessIo, readIo } from "./process-io.ts";
import type { Reaped } from "./reaped.ts";

/** Adds up the processor time of a tree's processes. `/proc` shows each process's time in hundredths of a second. */
export class CpuAccounts {
  private readonly ledger = new Ledger({
    exists: pidExists,
    account: (pid) => {
      const entry = readProcess(pid);
      return entry === undefined ? undefined : cpuAccount(entry);
    },
  });

  addReaped({ ticks }: Reaped): void {
    this.ledger.addReaped(ticks);
  }

  /** @param entries of all processes that exist, zombies included. @returns seconds used so far */
  update(entries: Iterable<ProcessEntry>): number {
    return this.ledger.update([...entries].map(cpuAccount)) / TICKS_PER_SECOND;
  }
}

/** Adds up what a tree's processes read from and wrote to storage. */
export class IoAccounts {
  private readonly read = new Ledger(this.readerOf("read"));
  private readonly written = new Ledger(this.readerOf("written"));

  addReaped({ io }: Reaped): void {
    this.read.addReaped(io.read);
    this.written.addReaped(io.written);
  }

  /**
   * @param entries of all processes that exist, zombies included
   * @returns undefined when the account of one of them may not be read: a sum without it would be too small
   */
  update(entries: readonly ProcessEntry[]): ProcessIo | undefined {
    const read: Account[] = [];
    const written: Account[] = [];
    let hidden = false;
    for (const entry of entries) {
      const io = readIo(`/proc/${entry.pid}/io`);
      // Either the process has just ended, or we may not read its account.
      if (io === undefined) hidden ||= pidExists(entry.pid);
      else {
        read.push(ioAccount(entry, io.read));
        written.push(ioAccount(entry, io.written));
      }
    }
    return hidden ? undefined : { read: this.read.update(read), written: this.written.update(written) };
  }

  private readerOf(what: keyof ProcessIo): ProcessReader {
    return {
      exists: pidExists,
      account: (pid) => {
        const entry = readProcess(pid);
        const io = entry === undefined ? undefined : readIo(`/proc/${pid}/io`);
        return entry === undefined || io === undefined ? undefined : ioAccount(entry, io[what]);
      },
    };
  }
}

function cpuAccount({ pid, startTime, parentPid, ticks, childTicks }: ProcessEntry): Account {
  return { pid, startTime, parentPid, total: ticks + childTicks, inherits: childTicks };
}

function ioAccount({ pid, startTime, parentPid }: ProcessEntry, total: number): Account {
  return { pid, startTime, parentPid, total, inherits: total };
}

/** A process's account of one quantity that only grows: processor time, bytes written. */
export interface Account {
  readonly pid: number;
  readonly startTime: number;
  readonly parentPid: number;
  /** What the process and the children that it waited for have used. */
  readonly total: number;
  /** The part of `total` to which the kernel adds a child's use when the process waits for the child. */
  readonly inherits: number;
}

/** How the ledger reads processes during an update. */
export interface ProcessReader {
  /** Whether a process still has this pid; a zombie counts. */
  exists(pid: number): boolean;
  /** The current account of one process. */
  account(pid: number): Account | undefined;
}

/**
 * Adds up what a tree of processes has used, ended processes included.
 *
 * Its law: the sum never decreases, and counts nothing twice. When a parent waits for a process, the kernel adds what
 * the process has used to the parent's account, so the ledger looks there first for a process that is gone. Only if no
 * account received it (the parent ignores SIGCHLD, or had ended before) is it kept as the last update read it. What
 * such a process used after that update is missing; all of it is, if no update saw the process.
 */
export class Ledger {
  private readonly reader: ProcessReader;
  private before: ReadonlyMap<number, Account> = new Map();
  private kept = 0;
  private reaped = 0;
  private most = 0;

  constructor(reader: ProcessReader) {
    this.reader = reader;
  }

  /** Adds everything that a child of our own has used. To be called right after we have waited for the child. */
  addReaped(amount: number): void {
    this.reaped += amount;
  }

  /** @param accounts of all processes that exist, zombies included. @returns the sum */
  update(accounts: Iterable<Account>): number {
    const { reader, before } = this;
    const now = new Map<number, Account>();
    const gone = new Map<number, Account>();
    for (const account of before.values()) gone.set(account.pid, account);
    for (const account of accounts) {
      // Reading takes a while: a parent read after its child ended already has the child in its account.
      const there = reader.exists(account.pid);
      (there ? now : gone).set(account.pid, account);
      if (there && gone.get(account.pid)?.startTime === account.startTime) gone.delete(account.pid);
    }
    for (const { pid, startTime } of gone.values()) {
      // A zombie still has its account, though a cgroup no longer lists it.
      const zombie = now.has(pid) || !reader.exists(pid) ? undefined : reader.account(pid);
      if (zombie?.startTime !== startTime) continue;
      now.set(pid, zombie);
      gone.delete(pid);
    }
    const lost = new Map<number, number>();
    for (const account of gone.values()) {
      const ancestor = survivingAncestor(account, now, gone);
      lost.set(ancestor, (lost.get(ancestor) ?? 0) + account.total);
    }
    for (const [pid, amount] of lost) this.kept += Math.max(0, amount - this.inherited(pid, now));
    this.kept += this.reaped;
    this.reaped = 0;
    this.before = now;
    let sum = this.kept;
    for (const account of now.values()) sum += account.total;
    return (this.most = Math.max(this.most, sum));
  }

  /** What the account of such an ancestor received since the last update. It is read again: now it has the gone ones. */
  private inherited(pid: number, now: Map<number, Account>): number {
    if (pid === process.pid) return this.reaped;
    const ancestor = now.get(pid);
    const fresh = ancestor === undefined ? undefined : this.reader.account(pid);
    if (ancestor === undefined || fresh?.startTime !== ancestor.startTime) return 0;
    now.set(pid, fresh);
    const earlier = this.before.get(pid);
    return fresh.inherits - (earlier?.startTime === fresh.startTime ? earlier.inherits : 0);
  }
}

/** The pid of the nearest ancestor that still exists: a member, this process, or 0 for any other process. */
function survivingAncestor(
  account: Account,
  now: ReadonlyMap<number, Account>,
  gone: ReadonlyMap<number, Account>,
): number {
  let at = account;
  // Bounded, since the kernel may reuse a pid during the walk.
  for (let generation = 0; generation < 1000; generation++) {
    if (at.parentPid === process.pid) return process.pid;
    const ancestor = now.get(at.parentPid);
    if (ancestor !== undefined && ancestor.startTime <= at.startTime) return ancestor.pid;
    const next = gone.get(at.parentPid);
    if (next === undefined || next.startTime > at.startTime) return 0;
    at = next;
  }
  return 0;
}

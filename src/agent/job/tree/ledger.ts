/** What stands in a process's account of one thing that only grows: processor time, bytes written. */
export interface Account {
  readonly pid: number;
  readonly startTime: number;
  readonly parentPid: number;
  /** What it and the children that it waited for have used. */
  readonly total: number;
  /** The part of `total` that grows by what a child has used when that child is waited for. */
  readonly inherits: number;
}

/** How the ledger looks at processes between its updates. */
export interface Witness {
  /** Whether there is still a process of this pid, were it a zombie. */
  exists(pid: number): boolean;
  /** The account of one process as it is now. */
  account(pid: number): Account | undefined;
}

/**
 * Adds up what a tree of processes has used, those that have ended included.
 *
 * Its law: the sum never goes back, and nothing is in it twice. The kernel moves what a process has used into its
 * parent's account when the parent waits for it; so what is gone is looked for there, and only what has arrived in no
 * account (the parent ignores SIGCHLD, or had ended before) is kept as it was last seen. What such a process has used
 * since that look is missing, and all of it if it was never seen.
 */
export class Ledger {
  private readonly witness: Witness;
  private before: ReadonlyMap<number, Account> = new Map();
  private kept = 0;
  private reaped = 0;
  private most = 0;

  constructor(witness: Witness) {
    this.witness = witness;
  }

  /** Adds what a child of our own has used in all: it has just been waited for. */
  addReaped(amount: number): void {
    this.reaped += amount;
  }

  /** @param accounts of all that are there, zombies included. @returns the sum */
  update(accounts: Iterable<Account>): number {
    const { witness, before } = this;
    const now = new Map<number, Account>();
    const gone = new Map<number, Account>();
    for (const account of before.values()) gone.set(account.pid, account);
    for (const account of accounts) {
      // Looking took a while. One that has ended meanwhile may be in its parent's account already, as that was read.
      const there = witness.exists(account.pid);
      (there ? now : gone).set(account.pid, account);
      if (there && gone.get(account.pid)?.startTime === account.startTime) gone.delete(account.pid);
    }
    for (const { pid, startTime } of gone.values()) {
      // A zombie still has its account, though a cgroup lists it no more.
      const zombie = now.has(pid) || !witness.exists(pid) ? undefined : witness.account(pid);
      if (zombie?.startTime !== startTime) continue;
      now.set(pid, zombie);
      gone.delete(pid);
    }
    const lost = new Map<number, number>();
    for (const account of gone.values()) {
      const heir = heirOf(account, now, gone);
      lost.set(heir, (lost.get(heir) ?? 0) + account.total);
    }
    for (const [pid, amount] of lost) this.kept += Math.max(0, amount - this.inherited(pid, now));
    this.kept += this.reaped;
    this.reaped = 0;
    this.before = now;
    let sum = this.kept;
    for (const account of now.values()) sum += account.total;
    return (this.most = Math.max(this.most, sum));
  }

  /** What came into the account of an heir since the last update. The heir is read anew: it has the gone ones by now. */
  private inherited(pid: number, now: Map<number, Account>): number {
    if (pid === process.pid) return this.reaped;
    const heir = now.get(pid);
    const fresh = heir === undefined ? undefined : this.witness.account(pid);
    if (heir === undefined || fresh?.startTime !== heir.startTime) return 0;
    now.set(pid, fresh);
    const earlier = this.before.get(pid);
    return fresh.inherits - (earlier?.startTime === fresh.startTime ? earlier.inherits : 0);
  }
}

/** The nearest ancestor that is still there: a member, this process, or 0 for anyone else. */
function heirOf(account: Account, now: ReadonlyMap<number, Account>, gone: ReadonlyMap<number, Account>): number {
  let at = account;
  // Bounded, for pids may be used again while one looks.
  for (let generation = 0; generation < 1000; generation++) {
    if (at.parentPid === process.pid) return process.pid;
    const heir = now.get(at.parentPid);
    if (heir !== undefined && heir.startTime <= at.startTime) return heir.pid;
    const next = gone.get(at.parentPid);
    if (next === undefined || next.startTime > at.startTime) return 0;
    at = next;
  }
  return 0;
}

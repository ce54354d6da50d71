import { describe, expect, it } from "vitest";
import { type Account, Ledger } from "../../../../src/agent/job/tree/ledger.ts";

/** Processes as a ledger sees them; the parent's account grows when it waits for a child, as in the kernel. */
class Processes {
  readonly ledger: Ledger = new Ledger({
    exists: (pid) => this.all.has(pid),
    account: (pid) => this.all.get(pid),
  });
  private readonly all = new Map<number, Account>();
  /** Those that a cgroup would not list. */
  private readonly hidden = new Set<number>();

  start(pid: number, parentPid: number, startTime: number = pid): void {
    this.all.set(pid, { pid, parentPid, startTime, total: 0, inherits: 0 });
  }

  use(pid: number, amount: number): void {
    const account = this.get(pid);
    this.all.set(pid, { ...account, total: account.total + amount });
  }

  /** It ends, and its parent waits for it. */
  end(pid: number, how: "waited for" | "not waited for" = "waited for"): void {
    const { parentPid, total } = this.get(pid);
    this.all.delete(pid);
    const parent = this.all.get(parentPid);
    if (how === "waited for" && parent !== undefined) {
      this.all.set(parentPid, { ...parent, total: parent.total + total, inherits: parent.inherits + total });
    }
    if (how === "waited for" && parentPid === process.pid) this.ledger.addReaped(total);
    for (const child of this.all.values())
      if (child.parentPid === pid) this.all.set(child.pid, { ...child, parentPid: 1 });
  }

  becomeZombie(pid: number): void {
    this.hidden.add(pid);
  }

  look(): Account[] {
    return [...this.all.values()].filter(({ pid }) => !this.hidden.has(pid));
  }

  sum(): number {
    return this.ledger.update(this.look());
  }

  private get(pid: number): Account {
    const account = this.all.get(pid);
    if (account === undefined) throw new Error(`No process ${pid}`);
    return account;
  }
}

describe("A ledger", () => {
  it("counts a child that came and went between two looks, once", () => {
    const processes = new Processes();
    processes.start(10, process.pid);
    processes.sum();
    processes.start(11, 10);
    processes.use(11, 5);
    processes.end(11);
    expect(processes.sum()).toBe(5);
    expect(processes.sum()).toBe(5);
  });

  it("counts a child that was seen, used more and was waited for, once and wholly", () => {
    const processes = new Processes();
    processes.start(10, process.pid);
    processes.start(11, 10);
    processes.use(11, 5);
    expect(processes.sum()).toBe(5);
    processes.use(11, 3);
    processes.end(11);
    expect(processes.sum()).toBe(8);
    processes.use(10, 1);
    expect(processes.sum()).toBe(9);
  });

  it("keeps what was seen of a process that nobody waits for", () => {
    const processes = new Processes();
    processes.start(10, process.pid);
    processes.start(11, 10);
    processes.use(11, 5);
    processes.sum();
    processes.use(11, 2);
    processes.end(11, "not waited for");
    // The 2 are what no account has.
    expect(processes.sum()).toBe(5);
    processes.start(12, 10);
    processes.use(12, 4);
    processes.end(12);
    expect(processes.sum()).toBe(9);
  });

  it("follows an account upwards through ancestors that ended, too", () => {
    const processes = new Processes();
    processes.start(10, process.pid);
    processes.start(11, 10);
    processes.start(12, 11);
    processes.use(12, 5);
    processes.sum();
    processes.end(12);
    processes.use(11, 1);
    processes.end(11);
    expect(processes.sum()).toBe(6);
  });

  it("keeps what a process had used whose parent ended before it", () => {
    const processes = new Processes();
    processes.start(10, process.pid);
    processes.start(11, 10);
    processes.start(12, 11);
    processes.use(12, 5);
    processes.sum();
    processes.end(11);
    processes.end(12);
    expect(processes.sum()).toBe(5);
  });

  it("takes the whole of one of our own children when it is waited for, seen before or not", () => {
    const processes = new Processes();
    processes.start(10, process.pid);
    processes.use(10, 2);
    processes.sum();
    processes.use(10, 5);
    processes.end(10);
    expect(processes.sum()).toBe(7);
    processes.start(11, process.pid);
    processes.use(11, 3);
    processes.end(11);
    expect(processes.sum()).toBe(10);
  });

  it("does not count a process twice that ended while it was looked at, its parent being looked at after", () => {
    const processes = new Processes();
    processes.start(10, process.pid);
    processes.start(11, 10);
    processes.use(11, 5);
    const [, child] = processes.look();
    processes.end(11);
    const [parent] = processes.look();
    expect(processes.ledger.update([child, parent].filter((one) => one !== undefined))).toBe(5);
    expect(processes.sum()).toBe(5);
  });

  it("does not lose or repeat one that ended while it was looked at, its parent being looked at before", () => {
    const processes = new Processes();
    processes.start(10, process.pid);
    processes.start(11, 10);
    processes.use(11, 5);
    processes.sum();
    const [parent, child] = processes.look();
    processes.end(11);
    expect(processes.ledger.update([child, parent].filter((one) => one !== undefined))).toBe(5);
    expect(processes.sum()).toBe(5);
  });

  it("counts a zombie that is no longer listed, until it is waited for and after", () => {
    const processes = new Processes();
    processes.start(10, process.pid);
    processes.start(11, 10);
    processes.use(11, 5);
    processes.sum();
    processes.becomeZombie(11);
    expect(processes.sum()).toBe(5);
    processes.end(11);
    expect(processes.sum()).toBe(5);
  });

  it("tells a process from an earlier one of the same pid", () => {
    const processes = new Processes();
    processes.start(10, process.pid);
    processes.start(11, 10, 100);
    processes.use(11, 5);
    processes.sum();
    processes.end(11);
    processes.start(11, 10, 200);
    processes.use(11, 1);
    expect(processes.sum()).toBe(6);
  });
});

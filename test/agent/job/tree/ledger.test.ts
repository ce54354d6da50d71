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

  scan(): Account[] {
    return [...this.all.values()].filter(({ pid }) => !this.hidden.has(pid));
  }

  sum(): number {
    return this.ledger.update(this.scan());
  }

  private get(pid: number): Account {
    const account = this.all.get(pid);
    if (account === undefined) throw new Error(`No process ${pid}`);
    return account;
  }
}

describe("A ledger", () => {
  it("counts once a child that started and ended between two updates", () => {
    const processes = new Processes();
    processes.start(10, process.pid);
    processes.sum();
    processes.start(11, 10);
    processes.use(11, 5);
    processes.end(11);
    expect(processes.sum()).toBe(5);
    expect(processes.sum()).toBe(5);
  });

  it("counts once, and in full, a child that was seen, used more and was waited for", () => {
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

  it("keeps what was seen of a process that no parent waits for", () => {
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

  it("looks for the account of an ended process also above ancestors that have ended", () => {
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

  it("keeps what a process had used when its parent ended first", () => {
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

  it("counts everything that one of our own children used once we have waited for it, seen before or not", () => {
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

  it("counts once a process that ended during an update which read its parent after it", () => {
    const processes = new Processes();
    processes.start(10, process.pid);
    processes.start(11, 10);
    processes.use(11, 5);
    const [, child] = processes.scan();
    processes.end(11);
    const [parent] = processes.scan();
    expect(processes.ledger.update([child, parent].filter((one) => one !== undefined))).toBe(5);
    expect(processes.sum()).toBe(5);
  });

  it("counts once a process that ended during an update which read its parent before it", () => {
    const processes = new Processes();
    processes.start(10, process.pid);
    processes.start(11, 10);
    processes.use(11, 5);
    processes.sum();
    const [parent, child] = processes.scan();
    processes.end(11);
    expect(processes.ledger.update([child, parent].filter((one) => one !== undefined))).toBe(5);
    expect(processes.sum()).toBe(5);
  });

  it("counts a zombie that is no longer listed, before and after its parent waits for it", () => {
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

  it("distinguishes a process from an earlier one with the same pid", () => {
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

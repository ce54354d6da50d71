import type { DatabaseSync } from "node:sqlite";
import type { StoreCondition } from "./condition.ts";
import { isNoSpace } from "./condition.ts";

/** How a change is committed. */
export interface ChangeOptions {
  /** Called if the change cannot be committed, before anything else can run. */
  readonly failed?: () => void;
  /** Called when a transaction with the change was rolled back, even if it is tried again: its effects in memory are wrong. */
  readonly undone?: () => void;
  /** The job it changes. */
  readonly key?: number;
  /** Whether it may use the reserve when the disk is full: it is small, and makes room or must not wait. */
  readonly urgent?: boolean;
}

interface Waiting extends ChangeOptions {
  readonly apply: () => void;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** Called for each transaction. Times are milliseconds. */
export interface GroupObserver {
  committed?(changes: number, took: number): void;
  failed?(): void;
}

/**
 * Puts all changes of one turn of the event loop into one transaction: a thousand agents' events then cost one commit.
 * Each change is confirmed when the transaction is; if it fails, all of them fail. When the disk is full, only urgent
 * ones are tried, with the reserve, and each job's only if no other change of it has failed.
 */
export class GroupCommit {
  private readonly database: DatabaseSync;
  private readonly condition: StoreCondition;
  private readonly observer: GroupObserver;
  private waiting: Waiting[] = [];
  private turn: NodeJS.Immediate | undefined;

  constructor(database: DatabaseSync, condition: StoreCondition, observer: GroupObserver = {}) {
    this.database = database;
    this.condition = condition;
    this.observer = observer;
  }

  /** @param apply runs statements; must not await */
  add(apply: () => void, options: ChangeOptions = {}): Promise<void> {
    return new Promise((resolve, reject) => {
      this.waiting.push({ ...options, apply, resolve, reject });
      this.turn ??= setImmediate(() => this.commit());
    });
  }

  /** Commits what waits, at once. */
  commit(): void {
    clearImmediate(this.turn);
    this.turn = undefined;
    const group = this.waiting.splice(0);
    if (group.length === 0) return;
    const { condition } = this;
    const refusal = condition.refusal();
    const error = refusal ?? this.transaction(group);
    if (error === undefined) return;
    condition.failed(error);
    const urgent = condition.gone === undefined && isNoSpace(error) ? urgentOf(group) : [];
    abandon(group, urgent, error);
    if (urgent.length === 0) return;
    let problem = refusal === undefined ? error : this.transaction(urgent);
    if (problem !== undefined && this.makeRoom()) problem = this.transaction(urgent);
    if (problem !== undefined) abandon(urgent, [], problem);
  }

  /** @returns whether there may be more room now */
  private makeRoom(): boolean {
    if (!this.condition.useReserve()) return false;
    try {
      // What waits in the write-ahead log goes to its place, and the log's own room is free.
      this.database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
    } catch {
      // There is no room for it: the reserve has to do.
    }
    return true;
  }

  /** @returns the error that it failed with */
  private transaction(group: readonly Waiting[]): unknown {
    const start = performance.now();
    try {
      this.database.exec("BEGIN IMMEDIATE");
      for (const change of group) change.apply();
      this.database.exec("COMMIT");
    } catch (error) {
      if (this.database.isTransaction) this.database.exec("ROLLBACK");
      this.observer.failed?.();
      for (const change of group) change.undone?.();
      return error;
    }
    this.observer.committed?.(group.length, performance.now() - start);
    for (const change of group) change.resolve();
    return undefined;
  }
}

/** Those that may use the reserve: urgent, and of a job of which nothing else fails. */
function urgentOf(group: readonly Waiting[]): Waiting[] {
  const others = new Set(group.filter(({ urgent }) => urgent !== true).map(({ key }) => key));
  return group.filter(({ urgent, key }) => urgent === true && !others.has(key));
}

/** Fails all changes of a group but some. */
function abandon(group: readonly Waiting[], but: readonly Waiting[], error: unknown): void {
  const failed = group.filter((change) => !but.includes(change));
  for (const change of failed) change.failed?.();
  for (const change of failed) change.reject(error);
}

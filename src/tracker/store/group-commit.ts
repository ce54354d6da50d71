import type { DatabaseSync } from "node:sqlite";

interface Waiting {
  readonly apply: () => void;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
  readonly failed: () => void;
}

/** Told of each transaction. Times are milliseconds. */
export interface GroupObserver {
  committed?(changes: number, took: number): void;
  failed?(): void;
}

/**
 * Puts all changes of one turn of the event loop into one transaction: a thousand agents' events then cost one commit.
 * Each change is confirmed when the transaction is; if it fails, all of them fail.
 */
export class GroupCommit {
  private readonly database: DatabaseSync;
  private readonly observer: GroupObserver;
  private waiting: Waiting[] = [];
  private turn: NodeJS.Immediate | undefined;

  constructor(database: DatabaseSync, observer: GroupObserver = {}) {
    this.database = database;
    this.observer = observer;
  }

  /**
   * @param apply runs statements; must not await
   * @param failed is called if the transaction fails, before anything else can run
   */
  add(apply: () => void, failed: () => void = () => undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      this.waiting.push({ apply, resolve, reject, failed });
      this.turn ??= setImmediate(() => this.commit());
    });
  }

  /** Commits what waits, at once. */
  commit(): void {
    clearImmediate(this.turn);
    this.turn = undefined;
    const group = this.waiting.splice(0);
    if (group.length === 0) return;
    const start = performance.now();
    try {
      this.database.exec("BEGIN IMMEDIATE");
      for (const change of group) change.apply();
      this.database.exec("COMMIT");
    } catch (error) {
      if (this.database.isTransaction) this.database.exec("ROLLBACK");
      this.observer.failed?.();
      for (const change of group) change.failed();
      for (const change of group) change.reject(error);
      return;
    }
    this.observer.committed?.(group.length, performance.now() - start);
    for (const change of group) change.resolve();
  }
}

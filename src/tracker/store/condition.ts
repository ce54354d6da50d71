import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { errnoOf, messageOf } from "../../base/errors.ts";
import type { Logger } from "../../base/logger.ts";
import { Reserve } from "./reserve.ts";
import { isFull } from "./sqlite-error.ts";

/** Time between two checks. Milliseconds. */
const CHECK_EVERY_MS = 1000;
/** Time between two tries to make the reserve. Milliseconds. */
const RESTORE_EVERY_MS = 500;
/** The files that are opened once and written as long as the tracker runs. */
const PARTS = ["", "belay.db", "belay.db-wal", "logs"];

/**
 * Whether the data directory can take what must be stored.
 *
 * | state | entered by                                                   | left by                                  |
 * |-------|--------------------------------------------------------------|------------------------------------------|
 * | well  | the start                                                    | a failed write, a check                  |
 * | full  | a write that found no room; a start without room for reserve | a check that finds room for the reserve  |
 * | gone  | a check: a part is missing, or another file is in its place  | a check that finds the part again        |
 */
export class StoreCondition {
  /** Why what is stored now would be lost: the files are no longer in the directory. Undefined: they are. */
  gone: string | undefined;
  private full = false;
  private readonly directory: string;
  private readonly logger: Logger;
  private readonly reserve: Reserve;
  private readonly parts: ReadonlyMap<string, string>;
  private readonly listeners = new Set<() => void>();
  private readonly timer: NodeJS.Timeout;
  private triedAt = -RESTORE_EVERY_MS;

  /** Must be constructed when all parts exist. */
  constructor(directory: string, logger: Logger) {
    this.directory = directory;
    this.logger = logger;
    this.reserve = new Reserve(directory);
    this.parts = new Map(PARTS.map((part) => [part, identityOf(join(directory, part)) ?? ""]));
    this.timer = setInterval(() => this.check(), CHECK_EVERY_MS).unref();
    if (!this.reserve.isHeld) this.set(undefined, !this.tryRestore());
  }

  /** Whether the disk is full: only urgent changes are stored. */
  get isFull(): boolean {
    return this.full;
  }

  /** What is wrong, in words. Undefined: nothing. */
  get problem(): string | undefined {
    return this.gone ?? (this.full ? "the disk is full" : undefined);
  }

  /** Looks at the directory, and makes the reserve again if there is room. */
  check(): void {
    const gone = this.whatIsGone();
    const full = gone === undefined && this.full ? !this.tryRestore() : this.full;
    this.set(gone, full);
  }

  /** Why a write is refused now. Undefined: it is not. Looks again if something was wrong. */
  refusal(): Error | undefined {
    if (this.problem === undefined) return undefined;
    this.check();
    if (this.problem === undefined) return undefined;
    return Object.assign(new Error(this.problem), this.gone === undefined ? { code: "ENOSPC" } : {});
  }

  /** A write failed. */
  failed(error: unknown): void {
    if (isNoSpace(error)) this.set(this.gone, true);
  }

  /** Gives up the reserve. @returns whether there was one */
  useReserve(): boolean {
    return this.reserve.release();
  }

  /** Calls a function after each change. @returns a function that unsubscribes */
  onChange(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  }

  close(): void {
    clearInterval(this.timer);
  }

  private set(gone: string | undefined, full: boolean): void {
    if (gone === this.gone && full === this.full) return;
    this.gone = gone;
    this.full = full;
    const { directory, problem } = this;
    if (problem === undefined) this.logger.info("The data directory can be written again", { directory });
    else this.logger.error("The data directory cannot be written", { directory, why: problem });
    for (const listener of this.listeners) listener();
  }

  private tryRestore(): boolean {
    if (performance.now() - this.triedAt < RESTORE_EVERY_MS) return false;
    this.triedAt = performance.now();
    try {
      return this.reserve.restore();
    } catch {
      return false;
    }
  }

  private whatIsGone(): string | undefined {
    for (const [part, identity] of this.parts) {
      const path = join(this.directory, part);
      const name = part === "" ? "the data directory" : part;
      try {
        if (identity === "" || identityOf(path) === identity) continue;
        return existsSync(path) ? `${name} was replaced while the tracker ran` : `${name} is missing`;
      } catch (error) {
        return `${name} cannot be read: ${messageOf(error)}`;
      }
    }
    return undefined;
  }
}

/** Whether a write failed for want of room. */
export function isNoSpace(error: unknown): boolean {
  return isFull(error) || ["ENOSPC", "EDQUOT"].includes(errnoOf(error) ?? "");
}

function identityOf(path: string): string | undefined {
  const found = statSync(path, { throwIfNoEntry: false });
  return found === undefined ? undefined : `${found.dev}:${found.ino}`;
}

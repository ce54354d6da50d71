import { statSync } from "node:fs";
import { rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { BelayError, messageOf } from "../../base/errors.ts";
import type { Logger } from "../../base/logger.ts";
import type { StreamTotals } from "../../gen/belay/v1/job_pb.ts";
import type { LogOptions } from "./log/attempt-log.ts";
import { AttemptLog } from "./log/attempt-log.ts";
import { FILE_HEADER_BYTES } from "./log/format.ts";
import type { LogOwner } from "./log/owner.ts";
import type { Damage } from "./log/recover.ts";
import type { LogHandle } from "./types.ts";

/** Most places of damage that are remembered, so that each is reported once. */
const MOST_REPORTED = 10_000;

/** What the database says of a log. */
export interface KnownLog {
  readonly key: number;
  readonly owner: LogOwner;
  /** Stored bytes of a closed log. Undefined: the log may still be written. */
  readonly stored: readonly StreamTotals[] | undefined;
}

interface Entry {
  readonly log: Promise<AttemptLog>;
  users: number;
}

/** How all logs are kept. */
export interface LogFilesOptions extends Omit<LogOptions, "damaged"> {
  /** Called once for each place of damage. */
  readonly damaged?: () => void;
}

/** The logs that are in use: each is opened once, however many read and write it, and closed with its last user. */
export class LogFiles {
  private readonly directory: string;
  private readonly logger: Logger;
  private readonly options: LogFilesOptions;
  private readonly reported = new Set<string>();
  private readonly entries = new Map<string, Entry>();
  private readonly closing = new Map<string, Promise<void>>();

  constructor(directory: string, logger: Logger, options: LogFilesOptions) {
    this.directory = directory;
    this.options = options;
    this.logger = logger;
  }

  /** @throws BelayError `STORE` if nothing of what was stored can be read */
  async acquire(known: KnownLog): Promise<LogHandle> {
    const path = this.pathOf(known.key, known.owner.attempt);
    const entry = this.entries.get(path) ?? this.add(path, known);
    entry.users++;
    try {
      const log = await entry.log;
      let held = true;
      const release = async (): Promise<void> => {
        if (held) await this.release(path, entry);
        held = false;
      };
      return { log, release };
    } catch (error) {
      this.entries.delete(path);
      throw error;
    }
  }

  /** Costs one system call. */
  has(key: number, attempt: number): boolean {
    const found = statSync(this.pathOf(key, attempt), { throwIfNoEntry: false });
    return found !== undefined && found.size > FILE_HEADER_BYTES;
  }

  async remove(key: number): Promise<void> {
    await rm(this.jobDirectory(key), { recursive: true, force: true });
  }

  async close(): Promise<void> {
    const open = [...this.entries.values()];
    this.entries.clear();
    await Promise.all(open.map(async (entry) => (await entry.log).close()));
    await Promise.all(this.closing.values());
  }

  private add(path: string, known: KnownLog): Entry {
    const entry = { log: this.open(path, known), users: 0 };
    this.entries.set(path, entry);
    return entry;
  }

  private async open(path: string, { owner, stored }: KnownLog): Promise<AttemptLog> {
    await this.closing.get(path);
    const damaged = (damage: Damage): void => this.report(path, damage);
    const log = new AttemptLog(path, owner, { ...this.options, damaged });
    let torn: number;
    try {
      torn = await log.open(stored);
    } catch (error) {
      if (!(error instanceof BelayError)) throw error;
      this.report(path, messageOf(error));
      if (stored !== undefined) throw error;
      // The job and its log continue, with a gap if the agent no longer holds what this file had.
      await rename(path, `${path}.damaged`);
      torn = await log.open();
    }
    if (torn > 0) this.logger.warn("Cut off what is no whole record at the end of a log", { path, torn });
    return log;
  }

  /** Reports damage in the tracker's own log and metrics, each place once. */
  private report(path: string, found: Damage | string): void {
    const place = typeof found === "string" ? path : `${path}:${found.from}`;
    if (this.reported.has(place) || this.reported.size >= MOST_REPORTED) return;
    this.reported.add(place);
    this.options.damaged?.();
    const facts = typeof found === "string" ? { why: found } : found;
    this.logger.error("A stored log is damaged: belay check --repair closes the gap", { path, ...facts });
  }

  private async release(path: string, entry: Entry): Promise<void> {
    entry.users--;
    if (entry.users > 0 || this.entries.get(path) !== entry) return;
    this.entries.delete(path);
    const closed = entry.log.then((log) => log.close()).finally(() => this.closing.delete(path));
    this.closing.set(path, closed);
    await closed;
  }

  pathOf(key: number, attempt: number): string {
    return join(this.jobDirectory(key), `${attempt}.log`);
  }

  /** Directories are named by number: ids may differ in case only, which some file systems ignore. */
  private jobDirectory(key: number): string {
    return join(this.directory, String(key));
  }
}

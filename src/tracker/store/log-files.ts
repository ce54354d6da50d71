import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { Logger } from "../../base/logger.ts";
import type { LogOptions } from "./log/attempt-log.ts";
import { AttemptLog } from "./log/attempt-log.ts";
import type { LogHandle } from "./types.ts";

interface Entry {
  readonly log: Promise<AttemptLog>;
  users: number;
}

/** The logs that are in use: each is opened once, however many read and write it, and closed with its last user. */
export class LogFiles {
  private readonly directory: string;
  private readonly logger: Logger;
  private readonly options: LogOptions;
  private readonly entries = new Map<string, Entry>();
  private readonly closing = new Map<string, Promise<void>>();

  constructor(directory: string, logger: Logger, options: LogOptions) {
    this.directory = directory;
    this.options = options;
    this.logger = logger;
  }

  async acquire(key: number, attempt: number): Promise<LogHandle> {
    const path = join(this.jobDirectory(key), `${attempt}.log`);
    const entry = this.entries.get(path) ?? this.add(path, attempt);
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

  async remove(key: number): Promise<void> {
    await rm(this.jobDirectory(key), { recursive: true, force: true });
  }

  async close(): Promise<void> {
    const open = [...this.entries.values()];
    this.entries.clear();
    await Promise.all(open.map(async (entry) => (await entry.log).close()));
    await Promise.all(this.closing.values());
  }

  private add(path: string, attempt: number): Entry {
    const entry = { log: this.open(path, attempt), users: 0 };
    this.entries.set(path, entry);
    return entry;
  }

  private async open(path: string, attempt: number): Promise<AttemptLog> {
    await this.closing.get(path);
    const log = new AttemptLog(path, attempt, this.options);
    const torn = await log.open();
    if (torn > 0) this.logger.warn("Cut off what is no whole record at the end of a log", { path, torn });
    return log;
  }

  private async release(path: string, entry: Entry): Promise<void> {
    entry.users--;
    if (entry.users > 0 || this.entries.get(path) !== entry) return;
    this.entries.delete(path);
    const closed = entry.log.then((log) => log.close()).finally(() => this.closing.delete(path));
    this.closing.set(path, closed);
    await closed;
  }

  /** Numbers, since ids may differ in case only and some file systems do not see that. */
  private jobDirectory(key: number): string {
    return join(this.directory, String(key));
  }
}

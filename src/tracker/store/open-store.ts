import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { BelayError, messageOf } from "../../base/errors.ts";
import type { Logger } from "../../base/logger.ts";
import { StoreCondition } from "./condition.ts";
import { checkDatabaseIsThere, claimLogs, jobsWithLogs, makeDataDirectory, makePartsPrivate } from "./directory.ts";
import { lockDirectory } from "./lock.ts";
import { LogFiles } from "./log-files.ts";
import type { LogOptions } from "./log/attempt-log.ts";
import type { StoreObserver } from "./observer.ts";
import { MARKS_LOGS, migrate } from "./schema.ts";
import { isDamage } from "./sqlite-error.ts";
import { SqliteStore } from "./sqlite-store.ts";
import type { Store } from "./types.ts";

/** How a store keeps what it is given. */
export interface StoreOptions {
  /** `process`: what is confirmed survives the death of this process; `disk`: a power cut as well. */
  readonly durability: "process" | "disk";
  /** Bytes of output that are stored of one attempt. 0: all. */
  readonly logLimit: number;
  /** Told of its work. */
  readonly observer?: StoreObserver;
}

/**
 * Opens a data directory, making it if it is missing.
 *
 * @throws BelayError `STORE`
 */
export function openStore(directory: string, logger: Logger, options: StoreOptions): Store {
  makeDataDirectory(directory, logger);
  const unlock = lockDirectory(directory);
  const path = join(directory, "belay.db");
  let database: DatabaseSync | undefined;
  let condition: StoreCondition | undefined;
  try {
    checkDatabaseIsThere(directory);
    makePartsPrivate(directory);
    database = new DatabaseSync(path);
    // WAL with synchronous=NORMAL: a commit is one write without fsync. It survives the death of this process. With
    // FULL, each commit waits for the disk; those of one turn of the event loop wait together.
    const durable = options.durability === "disk";
    database.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = ${durable ? "FULL" : "NORMAL"}`);
    database.exec("PRAGMA foreign_keys = ON");
    const version = migrate(database, path);
    claimLogs(directory, database, version >= MARKS_LOGS);
    const { observer } = options;
    condition = new StoreCondition(directory, logger);
    const { failed, refusal } = hooksOf(condition, observer);
    const logs = new LogFiles(join(directory, "logs"), logger, {
      durable,
      limit: options.logLimit,
      failed,
      refusal,
      ...(observer === undefined
        ? {}
        : {
            written: (bytes, took, lag) => observer.logWritten(bytes, took, lag),
            damaged: () => observer.logDamaged(),
          }),
    });
    const highestLog = Math.max(0, ...jobsWithLogs(directory));
    return new SqliteStore(database, { logs, highestLog, condition, unlock, logger, observer });
  } catch (error) {
    condition?.close();
    database?.close();
    unlock();
    if (error instanceof BelayError) throw error;
    const why = messageOf(error);
    const message = isDamage(error)
      ? `Cannot open "${path}": it is damaged (${why}): restore it, start with another --data, or run ` +
        `belay check --repair "${directory}", which sets it and its logs aside`
      : `Cannot open "${path}": ${why}`;
    throw new BelayError("STORE", message, { cause: error });
  }
}

/** The hooks with which logs read and report the store's condition. */
function hooksOf(
  condition: StoreCondition,
  observer: StoreObserver | undefined,
): Required<Pick<LogOptions, "failed" | "refusal">> {
  return {
    failed: (error) => {
      condition.failed(error);
      observer?.failed();
    },
    refusal: () => condition.refusal(),
  };
}

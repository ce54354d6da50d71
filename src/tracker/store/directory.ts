import {
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import type { DatabaseSync } from "node:sqlite";
import { counted } from "../../base/text/count.ts";
import { makeDirectories } from "../../base/files/directories.ts";
import { BelayError } from "../../base/errors.ts";
import { fileProblem } from "../../base/files/file-problem.ts";
import type { Logger } from "../../base/logger.ts";
import { closeToOthers, makePrivate } from "../../base/files/private-file.ts";

/** Rights of users other than the owner. */
const OTHERS = 0o077;

/**
 * Makes a data directory, or uses the existing one.
 *
 * @throws BelayError `STORE` if there is something else in its place
 */
export function makeDataDirectory(directory: string, logger: Logger): void {
  try {
    makeDirectories(directory, 0o700);
    const mode = statSync(directory).mode & 0o777;
    if ((mode & OTHERS) === 0) return;
    logger.warn("The data directory is open to other users: what is in it is not, but chmod 700 is safer", {
      directory,
      mode: mode.toString(8).padStart(4, "0"),
    });
  } catch (error) {
    const why = whatIsThere(directory) ?? fileProblem(error);
    throw new BelayError("STORE", `Cannot make the data directory "${directory}": ${why}`, { cause: error });
  }
}

/**
 * Removes other users' permissions from the files of a data directory, and creates the database file with the right
 * mode: SQLite gives its other files the mode of that one.
 */
export function makePartsPrivate(directory: string): void {
  const database = join(directory, "belay.db");
  makePrivate(database);
  for (const path of [`${database}-wal`, `${database}-shm`]) if (existsSync(path)) closeToOthers(path, 0o600);
  const logs = join(directory, "logs");
  mkdirSync(logs, { recursive: true, mode: 0o700 });
  closeToOthers(logs, 0o700);
}

/** Keys of the jobs whose logs are in a data directory. */
export function jobsWithLogs(directory: string): number[] {
  const logs = join(directory, "logs");
  if (!existsSync(logs)) return [];
  return readdirSync(logs).flatMap((name) => (/^[1-9]\d*$/.test(name) ? [Number(name)] : []));
}

export function isMissingOrEmpty(path: string): boolean {
  return (statSync(path, { throwIfNoEntry: false })?.size ?? 0) === 0;
}

/**
 * Refuses logs without a database: new jobs would append to the logs of old ones.
 *
 * @throws BelayError `STORE`
 */
export function checkDatabaseIsThere(directory: string): void {
  const path = join(directory, "belay.db");
  const logs = jobsWithLogs(directory).length;
  if (logs === 0 || !isMissingOrEmpty(path)) return;
  const what = existsSync(path) ? "empty" : "missing";
  throw refusal(
    directory,
    `belay.db is ${what}, but there are logs of ${counted(logs, "job")}: restore it`,
    "sets the logs aside",
  );
}

/** The file that says which database the logs belong to. */
const STORE_ID = "store-id";

/**
 * Checks that the logs belong to this database, and marks them with its id.
 *
 * @param knewId whether the database is of a version that marks its logs
 * @throws BelayError `STORE`
 */
export function claimLogs(directory: string, database: DatabaseSync, knewId: boolean): void {
  const id = String(database.prepare("SELECT id FROM store").get()?.["id"]);
  const found = idOfLogs(directory);
  if (found === id) return;
  if (found !== "") {
    throw refusal(directory, "belay.db belongs to other logs: restore the one that belongs here", "sets both aside");
  }
  const logged = Number(database.prepare("SELECT count(*) AS count FROM jobs WHERE log_bytes > 0").get()?.["count"]);
  if (knewId && logged > 0 && jobsWithLogs(directory).length === 0) {
    const what = `the logs of ${counted(logged, "job")} are missing: restore or mount the directory "logs"`;
    throw refusal(directory, what, "records them as lost");
  }
  writeFileSync(join(directory, "logs", STORE_ID), `${id}\n`, { mode: 0o600 });
}

/** The id of the database that the logs belong to. Empty: there is no mark. */
export function idOfLogs(directory: string): string {
  const path = join(directory, "logs", STORE_ID);
  return existsSync(path) ? readFileSync(path, "utf8").trim() : "";
}

function refusal(directory: string, what: string, repair: string): BelayError {
  return new BelayError(
    "STORE",
    `Cannot use the data directory "${directory}": ${what}, start with another --data, ` +
      `or run belay check --repair "${directory}", which ${repair}`,
  );
}

/** Why a directory cannot be made, for users. Undefined: no known reason. */
function whatIsThere(path: string): string | undefined {
  try {
    const found = lstatSync(path, { throwIfNoEntry: false });
    if (found?.isSymbolicLink() === true && !existsSync(path)) {
      return `it is a symbolic link to "${readlinkSync(path)}", which does not exist`;
    }
    return found === undefined || statSync(path).isDirectory() ? undefined : "it is not a directory";
  } catch {
    // It cannot be examined: the error of making it says why.
    return undefined;
  }
}

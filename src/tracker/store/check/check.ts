// Longer than 300 lines: what the check finds and how it repairs that are side by side, for one kind of damage after the
// other.
import { fromBinary } from "@bufbuild/protobuf";
import { existsSync } from "node:fs";
import { mkdir, open, rename, rm, truncate } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { counted } from "../../../base/text/count.ts";
import { BelayError, messageOf } from "../../../base/errors.ts";
import type { StreamTotals } from "../../../gen/belay/v1/job_pb.ts";
import { AttemptSchema, CommandRecordSchema } from "../../../gen/belay/v1/job_pb.ts";
import { CommandSchema, EventSchema } from "../../../gen/belay/v1/tracker_service_pb.ts";
import { idOfLogs, isMissingOrEmpty, jobsWithLogs } from "../directory.ts";
import { lockDirectory } from "../lock.ts";
import type { LogOwner } from "../log/owner.ts";
import { logOwner } from "../log/owner.ts";
import { streamTotals } from "../log/totals.ts";
import { unpackEvent } from "../points/body.ts";
import { isLogClosed, readJob } from "../rows.ts";
import { SCHEMA_VERSION } from "../schema.ts";
import { isDamage } from "../sqlite-error.ts";
import type { CheckedLog } from "./check-log.ts";
import { checkIndex, checkLog, rewriteLog, shortfall } from "./check-log.ts";
import { recordLoss } from "./record-loss.ts";
import { setAside } from "./set-aside.ts";
import { streamName } from "../../../contract/names.ts";

// One file, though long: the parts of a check share what they found so far, and their order is that of a repair.

/** A problem that was found. */
export interface Finding {
  /** `note`: left by a crash, nothing that was acknowledged is missing; the tracker mends it by itself. */
  readonly severity: "note" | "problem";
  /** A job's id, a path, or "database". */
  readonly where: string;
  readonly what: string;
  /** What was done about it. Absent: nothing. */
  readonly repaired?: string;
}

/** What a check has read and found. */
export interface CheckReport {
  readonly jobs: number;
  readonly logs: number;
  /** Of all logs. */
  readonly bytes: number;
  readonly findings: readonly Finding[];
}

/**
 * Verifies a data directory that no tracker uses: the database and what it refers to, and every checksum of every log.
 *
 * @param repair mends what can be: torn ends are cut, damaged and missing logs are written again with gaps where bytes
 * are missing (the damaged file is kept) and their jobs' logs are recorded as incomplete, logs of deleted jobs are
 * removed. A database that is missing or none is set aside with the logs that belonged to it
 * @throws BelayError `STORE` if it cannot be checked: there is nothing to check, it is in use, or it is of a newer version
 */
export async function checkDirectory(directory: string, repair = false): Promise<CheckReport> {
  const path = join(directory, "belay.db");
  const logs = jobsWithLogs(directory).length;
  if (!existsSync(path) && logs === 0) {
    // A tracker was here, and what it had was set aside.
    if (existsSync(join(directory, "lock"))) return { jobs: 0, logs: 0, bytes: 0, findings: [] };
    throw new BelayError("STORE", `Cannot check "${directory}": it has no belay.db`);
  }
  const unlock = lockDirectory(directory);
  let database: DatabaseSync | undefined;
  try {
    const problem = whyNoDatabase(path);
    if (problem !== undefined && (logs > 0 || problem !== EMPTY)) {
      const what = `${problem}; there are logs of ${counted(logs, "job")}`;
      const repaired = repair ? `all of it was moved to "${setAside(directory)}"` : undefined;
      const finding = { severity: "problem" as const, where: "database", what };
      return { jobs: 0, logs, bytes: 0, findings: [{ ...finding, ...(repaired === undefined ? {} : { repaired }) }] };
    }
    database = new DatabaseSync(path, { timeout: 0 });
    return await new Check(database, directory, repair).run();
  } catch (error) {
    if (error instanceof BelayError) throw error;
    throw new BelayError("STORE", `Cannot check "${path}": ${messageOf(error)}`, { cause: error });
  } finally {
    database?.close();
    unlock();
  }
}

const EMPTY = "belay.db is missing or empty";

/** Why there is no database to look into. */
function whyNoDatabase(path: string): string | undefined {
  if (isMissingOrEmpty(path)) return EMPTY;
  const database = new DatabaseSync(path, { timeout: 0 });
  try {
    database.prepare("SELECT count(*) FROM sqlite_schema").get();
    return undefined;
  } catch (error) {
    return isDamage(error) ? `belay.db is damaged: ${messageOf(error)}` : undefined;
  } finally {
    database.close();
  }
}

class Check {
  private readonly database: DatabaseSync;
  private readonly directory: string;
  private readonly logs: string;
  private readonly repair: boolean;
  private readonly findings: Finding[] = [];
  private jobs = 0;
  private files = 0;
  private bytes = 0;

  constructor(database: DatabaseSync, directory: string, repair: boolean) {
    this.database = database;
    this.directory = directory;
    this.logs = join(directory, "logs");
    this.repair = repair;
  }

  async run(): Promise<CheckReport> {
    this.checkVersion();
    if (await this.checkBelonging()) return { jobs: 0, logs: 0, bytes: 0, findings: this.findings };
    this.checkDatabase();
    const attempts = this.checkRows();
    for (const attempt of attempts.values()) await this.checkAttempt(attempt);
    await this.checkStrays(attempts);
    return { jobs: this.jobs, logs: this.files, bytes: this.bytes, findings: this.findings };
  }

  private checkVersion(): void {
    const version = Number(this.database.prepare("PRAGMA user_version").get()?.["user_version"]);
    if (version === SCHEMA_VERSION) return;
    const todo = version > SCHEMA_VERSION ? "use the belay that wrote it" : "start the tracker once: it converts it";
    throw new BelayError("STORE", `Cannot check a database of version ${version}, expected ${SCHEMA_VERSION}: ${todo}`);
  }

  /** Whether the logs are those of another database: then nothing else can be said of them. */
  private async checkBelonging(): Promise<boolean> {
    const found = idOfLogs(this.directory);
    if (found === "" || found === this.database.prepare("SELECT id FROM store").get()?.["id"]) return false;
    const what = "belay.db belongs to other logs than those that are here";
    await this.repairOrReport(
      "problem",
      "database",
      what,
      "both were set aside",
      async () => void setAside(this.directory),
    );
    return true;
  }

  private checkDatabase(): void {
    for (const { integrity_check: text } of this.database.prepare("PRAGMA integrity_check").all()) {
      if (text !== "ok") this.problem("database", String(text));
    }
    for (const row of this.database.prepare("PRAGMA foreign_key_check").all()) {
      this.problem("database", `a row of ${String(row["table"])} belongs to no job`);
    }
  }

  /** Reads every row as the tracker would. Returns the attempts by the path of their log. */
  private checkRows(): Map<string, AttemptToCheck> {
    const found = new Map<string, AttemptToCheck>();
    const unnamedKey = Number(this.database.prepare("SELECT unnamed_key FROM store").get()?.["unnamed_key"]);
    const attempts = this.database.prepare("SELECT * FROM attempts WHERE job_key = ? ORDER BY attempt");
    for (const row of this.database.prepare("SELECT * FROM jobs ORDER BY key").all()) {
      this.jobs++;
      const jobId = String(row["job_id"]);
      const key = Number(row["key"]);
      const own = attempts.all(key);
      const job = this.reads(jobId, "the job", () => readJob(row, own));
      if (job !== undefined && job.jobId !== jobId) this.problem(jobId, `its row holds job "${job.jobId}"`);
      for (const attempt of own) {
        const number = Number(attempt["attempt"]);
        const path = join(this.logs, String(key), `${number}.log`);
        const body = attempt["body"] as Uint8Array;
        const read = this.reads(jobId, `attempt ${number}`, () => fromBinary(AttemptSchema, body));
        const owner = logOwner({ jobId, createTime: Number(row["create_ms"]) }, number, key <= unnamedKey);
        const closed = read !== undefined && isLogClosed(read);
        found.set(path, { path, key, jobId, number, owner, stored: closed ? read.stored : undefined });
      }
    }
    this.checkBodies("events", "body", (bytes) => fromBinary(EventSchema, bytes));
    this.checkBodies("points", "body", unpackEvent);
    this.checkTiers();
    this.checkBodies("commands", "record", (bytes) => fromBinary(CommandRecordSchema, bytes));
    this.checkBodies("commands", "command", (bytes) => fromBinary(CommandSchema, bytes));
    return found;
  }

  private checkBodies(table: string, column: string, read: (bytes: Uint8Array) => unknown): void {
    const rows = this.database.prepare(
      `SELECT job_id, ${table}.${column} AS bytes FROM ${table} JOIN jobs ON jobs.key = ${table}.job_key`,
    );
    for (const row of rows.iterate()) {
      this.reads(String(row["job_id"]), `a row of ${table}`, () => read(row["bytes"] as Uint8Array));
    }
  }

  /** A tier's points are all older than those of the finer one. */
  private checkTiers(): void {
    const rows = this.database.prepare(
      `SELECT job_id, coarse.attempt, coarse.tier
       FROM (SELECT job_key, attempt, kind, tier, max(sequence) AS newest FROM points GROUP BY 1, 2, 3, 4) AS coarse
       JOIN (SELECT job_key, attempt, kind, tier, min(sequence) AS oldest FROM points GROUP BY 1, 2, 3, 4) AS fine
         ON fine.job_key = coarse.job_key AND fine.attempt = coarse.attempt AND fine.kind = coarse.kind
       JOIN jobs ON jobs.key = coarse.job_key
       WHERE fine.tier < coarse.tier AND coarse.newest >= fine.oldest`,
    );
    for (const row of rows.iterate()) {
      const tier = Number(row["tier"]);
      this.problem(
        `${String(row["job_id"])}, attempt ${Number(row["attempt"])}`,
        `metrics of tier ${tier} are too new`,
      );
    }
  }

  private async checkAttempt(attempt: AttemptToCheck): Promise<void> {
    const { path, jobId, number, owner, stored } = attempt;
    const where = `${jobId}, attempt ${number}`;
    if (!existsSync(path)) {
      if (stored?.some(({ bytes }) => bytes > 0n) !== true) return;
      await this.repairOrReport("problem", where, "its log is missing", "a log of gaps stands in for it", () =>
        this.rewrite(attempt),
      );
      return;
    }
    this.files++;
    const file = await open(path, "r");
    const checked = await checkLog(file, owner);
    await file.close();
    this.bytes += checked.totals.position;
    const { lastEntry, isDamaged } = await checkIndex(`${path}.index`, owner);
    const missing = shortfall(stored ?? (lastEntry === undefined ? [] : streamTotals(lastEntry)), checked.totals);
    const damages = [
      ...damagesOf(checked),
      ...missing.map(
        ({ stream, bytes }) => `the log ends ${bytes} bytes of ${streamName(stream)} before its recorded end`,
      ),
    ];
    if (damages.length > 0) {
      const done = `written again with gaps; the damaged file is kept as ${path}.damaged`;
      await this.repairOrReport("problem", where, damages.join("; "), done, async () => {
        if (checked.owner === "other") await rename(path, `${path}.damaged`);
        await this.rewrite(attempt);
      });
    } else if (checked.torn > 0) {
      const what = `${checked.torn} bytes of a write that was under way when the tracker died; never acknowledged`;
      await this.repairOrReport("note", where, what, "cut off", () => truncate(path, checked.totals.position));
    }
    if (!isDamaged) return;
    await this.repairOrReport(
      "note",
      where,
      "its index is damaged: reads of it begin far from where they could",
      "removed",
      () => rm(`${path}.index`, { force: true }),
    );
  }

  private async rewrite({ path, key, number, owner, stored }: AttemptToCheck): Promise<void> {
    await mkdir(join(path, ".."), { recursive: true, mode: 0o700 });
    const found = await rewriteLog(path, owner, stored ?? []);
    await rm(`${path}.index`, { force: true });
    if (stored !== undefined) recordLoss(this.database, key, number, found);
  }

  /** Files that belong to no job: left by a deletion that a crash cut short, or by a database that is gone. */
  private async checkStrays(known: ReadonlyMap<string, AttemptToCheck>): Promise<void> {
    const kept = new Set([...known.values()].map(({ key }) => key));
    const newest = Number(this.database.prepare("SELECT coalesce(max(key), 0) AS key FROM jobs").get()?.["key"]);
    for (const key of jobsWithLogs(this.directory)) {
      const path = join(this.logs, String(key));
      if (kept.has(key)) continue;
      if (key <= newest) {
        await this.repairOrReport("note", path, "the logs of a job that was deleted", "removed", () =>
          rm(path, { recursive: true }),
        );
      } else {
        const aside = join(this.directory, "logs-set-aside");
        const what = "the logs of a job that the database does not know";
        await this.repairOrReport("note", path, what, `moved to ${aside}`, async () => {
          await mkdir(aside, { recursive: true, mode: 0o700 });
          await rename(path, join(aside, `${key}-${Date.now()}`));
        });
      }
    }
  }

  private reads<T>(where: string, what: string, read: () => T): T | undefined {
    try {
      return read();
    } catch (error) {
      this.problem(where, `${what} cannot be read: ${messageOf(error)}`);
      return undefined;
    }
  }

  private problem(where: string, what: string): void {
    this.findings.push({ severity: "problem", where, what });
  }

  private async repairOrReport(
    severity: Finding["severity"],
    where: string,
    what: string,
    done: string,
    repair: () => Promise<void>,
  ): Promise<void> {
    if (this.repair) await repair();
    this.findings.push({ severity, where, what, ...(this.repair ? { repaired: done } : {}) });
  }
}

function damagesOf({ owner, damaged }: CheckedLog): string[] {
  if (owner === "other") return ["the file is the log of another job"];
  const places = [
    ...(owner === "own" ? [] : ["its header"]),
    ...damaged.map(({ from, to }) => (from === to ? `bytes before ${from} were taken out` : `bytes ${from} to ${to}`)),
  ];
  return places.length === 0 ? [] : [`the log is damaged: ${places.join(", ")}`];
}

interface AttemptToCheck {
  readonly path: string;
  readonly key: number;
  readonly jobId: string;
  readonly number: number;
  readonly owner: LogOwner;
  /** Undefined: the log may still be written. */
  readonly stored: readonly StreamTotals[] | undefined;
}

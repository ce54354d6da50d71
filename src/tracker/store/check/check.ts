import { fromBinary } from "@bufbuild/protobuf";
import { existsSync } from "node:fs";
import { open, readdir, rm, truncate } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { BelayError, messageOf } from "../../../base/errors.ts";
import type { StreamTotals } from "../../../gen/belay/v1/job_pb.ts";
import { AttemptSchema, CommandRecordSchema } from "../../../gen/belay/v1/job_pb.ts";
import { CommandSchema, EventSchema } from "../../../gen/belay/v1/tracker_service_pb.ts";
import { lockDirectory } from "../lock.ts";
import { unpackEvent } from "../points/body.ts";
import { readJob } from "../rows.ts";
import { SCHEMA_VERSION } from "../schema.ts";
import { checkLog, rewriteLog } from "./check-log.ts";
import { streamName } from "../../../contract/names.ts";

/** One thing that is not as it should be. */
export interface Finding {
  /** `note`: left by a crash, nothing that was acknowledged is missing; the tracker mends it by itself. */
  readonly severity: "note" | "problem";
  /** A job's id, a path, or "database". */
  readonly where: string;
  readonly what: string;
  /** What was done about it. Absent: nothing. */
  readonly repaired?: string;
}

/** What a check has looked at and found. */
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
 * @param repair mends what can be: torn ends are cut, damaged logs are written anew with gaps where bytes are missing
 * (the damaged file is kept), logs of deleted jobs are removed. The database is only looked at
 * @throws BelayError `STORE` if it cannot be looked at: it is none, is in use, or is of a newer version
 */
export async function checkDirectory(directory: string, repair = false): Promise<CheckReport> {
  const path = join(directory, "belay.db");
  if (!existsSync(path)) throw new BelayError("STORE", `Cannot check "${directory}": there is no belay.db in it`);
  const unlock = lockDirectory(directory);
  let database: DatabaseSync | undefined;
  try {
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

class Check {
  private readonly database: DatabaseSync;
  private readonly logs: string;
  private readonly repair: boolean;
  private readonly findings: Finding[] = [];
  private jobs = 0;
  private files = 0;
  private bytes = 0;

  constructor(database: DatabaseSync, directory: string, repair: boolean) {
    this.database = database;
    this.logs = join(directory, "logs");
    this.repair = repair;
  }

  async run(): Promise<CheckReport> {
    this.checkVersion();
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
    const attempts = this.database.prepare("SELECT * FROM attempts WHERE job_key = ? ORDER BY attempt");
    for (const row of this.database.prepare("SELECT * FROM jobs ORDER BY key").all()) {
      this.jobs++;
      const jobId = String(row["job_id"]);
      const own = attempts.all(Number(row["key"]));
      const job = this.reads(jobId, "the job", () => readJob(row, own));
      if (job !== undefined && job.jobId !== jobId) this.problem(jobId, `its row holds job "${job.jobId}"`);
      for (const attempt of own) {
        const number = Number(attempt["attempt"]);
        const path = join(this.logs, String(row["key"]), `${number}.log`);
        const body = attempt["body"] as Uint8Array;
        const read = this.reads(jobId, `attempt ${number}`, () => fromBinary(AttemptSchema, body));
        found.set(path, { path, jobId, number, stored: read?.stored ?? [] });
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

  private async checkAttempt({ path, jobId, number, stored }: AttemptToCheck): Promise<void> {
    const where = `${jobId}, attempt ${number}`;
    if (!existsSync(path)) {
      if (stored.some(({ bytes }) => bytes > 0n)) this.problem(where, "its log is missing");
      return;
    }
    this.files++;
    const file = await open(path, "r");
    const checked = await checkLog(file);
    await file.close();
    const { totals, torn, damaged } = checked;
    this.bytes += totals.position;
    for (const total of stored) {
      const bytes = checked.ends[total.stream - 1] ?? 0;
      if (BigInt(bytes) < total.bytes) {
        const missing = total.bytes - BigInt(bytes);
        this.problem(where, `the log ends ${missing} bytes of ${streamName(total.stream)} before its recorded end`);
      }
    }
    if (damaged.length > 0 || !checked.isLog) {
      const places = damaged.map(({ from, to }) => `bytes ${from} to ${to}`);
      const what = `the log is damaged: ${[...(checked.isLog ? [] : ["its header"]), ...places].join(", ")}`;
      const mended = `written anew with gaps; the damaged file is kept as ${path}.damaged`;
      await this.mend("problem", where, what, mended, async () => {
        await rewriteLog(path, number);
        await rm(`${path}.index`, { force: true });
      });
    } else if (torn > 0) {
      const what = `${torn} bytes of a write that was under way when the tracker died; never acknowledged`;
      await this.mend("note", where, what, "cut off", () => truncate(path, totals.position));
    }
  }

  /** Files that belong to no job: left by a deletion that a crash cut short. */
  private async checkStrays(known: ReadonlyMap<string, AttemptToCheck>): Promise<void> {
    if (!existsSync(this.logs)) return;
    const kept = new Set([...known.keys()].map((path) => join(path, "..")));
    for (const name of await readdir(this.logs)) {
      const path = join(this.logs, name);
      if (kept.has(path)) continue;
      await this.mend("note", path, "the logs of a job that was deleted", "removed", () =>
        rm(path, { recursive: true }),
      );
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

  private async mend(
    severity: Finding["severity"],
    where: string,
    what: string,
    done: string,
    mend: () => Promise<void>,
  ): Promise<void> {
    if (this.repair) await mend();
    this.findings.push({ severity, where, what, ...(this.repair ? { repaired: done } : {}) });
  }
}

interface AttemptToCheck {
  readonly path: string;
  readonly jobId: string;
  readonly number: number;
  readonly stored: readonly StreamTotals[];
}

// Longer than 300 lines: each method of `Store` is a statement or two here, and all of them share one transaction.
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { SQLInputValue } from "node:sqlite";
import type { DatabaseSync } from "node:sqlite";
import { BelayError } from "../../base/errors.ts";
import type { Logger } from "../../base/logger.ts";
import type { JobState } from "../../gen/belay/v1/job_pb.ts";
import { AttemptSchema, CommandRecordSchema, CommandState, JobSpecSchema } from "../../gen/belay/v1/job_pb.ts";
import type { Event } from "../../gen/belay/v1/tracker_service_pb.ts";
import { CommandSchema, EventSchema } from "../../gen/belay/v1/tracker_service_pb.ts";
import type { StoreObserver } from "./observer.ts";
import { seriesOf } from "./points/merge.ts";
import { MAX_NAMES } from "./points/names.ts";
import type { Points, PointsQuery } from "./points/sql-points.ts";
import { PointStore } from "./points/point-store.ts";
import { GroupCommit } from "./group-commit.ts";
import type { StoreCondition } from "./condition.ts";
import type { KnownLog } from "./log-files.ts";
import type { LogFiles } from "./log-files.ts";
import { logOwner } from "./log/owner.ts";
import type { SqlRow } from "./statements.ts";
import { attemptBody, endMs, filterSql, isLogClosed, jobBody, readCommand, readJob, storedBytes } from "./rows.ts";
import { SpanQueue } from "./span-queue.ts";
import { Statements } from "./statements.ts";
import type { Change, EndedJob, JobPage, LogHandle, Store, StoredCommand, StoredJob } from "./types.ts";
import { SHOWN_COMMANDS } from "./types.ts";

/** Deleted jobs that watchers can still learn of. */
const KEPT_DELETIONS = 10_000;

/** What a store is made of, beside its database. */
export interface StoreParts {
  readonly logs: LogFiles;
  /** Highest key of a job that has a log. 0: none has. */
  readonly highestLog: number;
  readonly condition: StoreCondition;
  readonly unlock: () => void;
  readonly logger: Logger;
  readonly observer: StoreObserver | undefined;
}

/**
 * The store in a data directory: see `openStore`.
 */
export class SqliteStore implements Store {
  readonly highest: { readonly key: number; readonly version: number };
  readonly spans: SpanQueue;
  private readonly database: DatabaseSync;
  private readonly parts: StoreParts;
  private readonly group: GroupCommit;
  private readonly sql: Statements;
  private readonly points: PointStore;
  private closed = false;

  constructor(database: DatabaseSync, parts: StoreParts) {
    this.database = database;
    this.parts = parts;
    this.group = new GroupCommit(database, parts.condition, parts.observer);
    this.sql = new Statements(database);
    this.points = new PointStore(this.sql, (key, attempt) => {
      const job = String(this.sql.get("SELECT job_id FROM jobs WHERE key = ?", key)?.["job_id"]);
      parts.logger.warn("A job uses too many names of metrics: values of further names are not kept", {
        job,
        attempt,
        kept: MAX_NAMES,
      });
    });
    this.spans = new SpanQueue(this.group, this.sql);
    const row = this.sql.get(
      `SELECT (SELECT coalesce(max(key), 0) FROM jobs) AS key,
              max((SELECT coalesce(max(version), 0) FROM jobs), (SELECT coalesce(max(version), 0) FROM deletions)) AS version`,
    );
    // Beyond every log that is there: one whose job the database no longer knows is not the next job's.
    const key = Math.max(Number(row?.["key"]), parts.highestLog);
    this.highest = { key, version: Number(row?.["version"]) };
  }

  get condition(): StoreCondition {
    return this.parts.condition;
  }

  async openJobs(): Promise<StoredJob[]> {
    return this.sql.all("SELECT * FROM jobs WHERE open = 1 ORDER BY key").map((row) => this.readStored(row));
  }

  async load(jobId: string): Promise<StoredJob | undefined> {
    this.group.commit();
    const row = this.sql.get("SELECT * FROM jobs WHERE job_id = ?", jobId);
    return row === undefined ? undefined : this.readStored(row);
  }

  async command(key: number, commandId: string): Promise<StoredCommand | undefined> {
    this.group.commit();
    const row = this.sql.get("SELECT * FROM commands WHERE job_key = ? AND command_id = ?", key, commandId);
    return row === undefined ? undefined : readCommand(row);
  }

  commit(change: Change): Promise<void> {
    return this.group.add(() => this.apply(change), {
      key: change.key,
      urgent: change.urgent === true,
      undone: () => {
        this.points.forget();
        this.spans.recount();
      },
      ...(change.failed === undefined ? {} : { failed: change.failed }),
    });
  }

  async list(page: JobPage): Promise<{ jobId: string; key: number }[]> {
    this.group.commit();
    const { sql, values } = filterSql(page.filter);
    const below: SQLInputValue[] = page.below === undefined ? [] : [page.below];
    const query = `SELECT job_id, key FROM jobs WHERE ${sql} ${below.length > 0 ? "AND key < ?" : ""} ORDER BY key DESC LIMIT ?`;
    const rows = this.database.prepare(query).all(...values, ...below, page.limit);
    return rows.map((row) => ({ jobId: String(row["job_id"]), key: Number(row["key"]) }));
  }

  async changesAfter(
    version: number,
    limit: number,
  ): Promise<{ version: number; jobId: string; deleted: boolean }[] | undefined> {
    this.group.commit();
    const kept = this.sql.get("SELECT count(*) AS count, min(version) AS oldest FROM deletions");
    if (Number(kept?.["count"]) >= KEPT_DELETIONS && version < Number(kept?.["oldest"])) return undefined;
    const rows = this.sql.all(
      `SELECT version, job_id, 0 AS deleted FROM jobs WHERE version > ?1
       UNION ALL SELECT version, job_id, 1 FROM deletions WHERE version > ?1 ORDER BY version LIMIT ?2`,
      version,
      limit,
    );
    return rows.map((row) => ({
      version: Number(row["version"]),
      jobId: String(row["job_id"]),
      deleted: row["deleted"] === 1,
    }));
  }

  async metrics(query: PointsQuery): Promise<Points> {
    this.group.commit();
    return this.points.read(query);
  }

  async log(key: number, attempt: number): Promise<LogHandle> {
    this.group.commit();
    return this.parts.logs.acquire(this.knownLog(key, attempt));
  }

  hasLog(key: number, attempt: number): boolean {
    return this.parts.logs.has(key, attempt);
  }

  async remove(key: number, jobId: string, version: number): Promise<void> {
    const apply = (): void => {
      this.sql.run("DELETE FROM jobs WHERE key = ?", key);
      this.sql.run("INSERT INTO deletions (version, job_id) VALUES (?, ?)", version, jobId);
      this.sql.run(
        "DELETE FROM deletions WHERE version <= (SELECT version FROM deletions ORDER BY version DESC LIMIT 1 OFFSET ?)",
        KEPT_DELETIONS,
      );
    };
    await this.group.add(apply, { key, urgent: true });
    await this.parts.logs.remove(key);
  }

  async endedJobs(limit: number): Promise<EndedJob[]> {
    this.group.commit();
    return this.sql
      .all(
        `SELECT key, job_id, end_ms, log_bytes + metric_bytes AS bytes FROM jobs
         WHERE end_ms IS NOT NULL AND open = 0 ORDER BY end_ms LIMIT ?`,
        limit,
      )
      .map((row) => ({
        key: Number(row["key"]),
        jobId: String(row["job_id"]),
        endTime: Number(row["end_ms"]),
        bytes: Number(row["bytes"]),
      }));
  }

  async endedBytes(): Promise<number> {
    this.group.commit();
    return Number(
      this.sql.get("SELECT sum(log_bytes + metric_bytes) AS sum FROM jobs WHERE end_ms IS NOT NULL AND open = 0")?.[
        "sum"
      ] ?? 0,
    );
  }

  async probe(): Promise<void> {
    this.condition.check();
    if (this.condition.problem !== undefined) throw new Error(this.condition.problem);
    await this.group.add(() => {
      this.sql.run("INSERT INTO probe (id, value) VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET value = value + 1");
    });
  }

  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    this.condition.close();
    this.group.commit();
    await this.parts.logs.close();
    this.database.close();
    this.parts.unlock();
  }

  private apply(change: Change): void {
    const { key, job, attempt, otherAttempt, commands, event, trace } = change;
    if (job !== undefined) this.putJob(key, job);
    for (const put of [attempt, otherAttempt]) {
      if (put === undefined) continue;
      this.sql.run(
        `INSERT INTO attempts (job_key, attempt, session_id, events, body) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET session_id = excluded.session_id, events = excluded.events, body = excluded.body`,
        key,
        put.attempt.attempt,
        put.attempt.sessionId,
        put.events,
        attemptBody(put.attempt),
      );
    }
    for (const { record, command } of commands ?? []) {
      this.parts.observer?.commandStored(record);
      this.sql.run(
        `INSERT INTO commands (job_key, command_id, number, record, command)
         VALUES (?1, ?2, (SELECT coalesce(max(number), 0) + 1 FROM commands WHERE job_key = ?1), ?3, ?4)
         ON CONFLICT (job_key, command_id) DO UPDATE SET record = excluded.record`,
        key,
        record.commandId,
        toBinary(CommandRecordSchema, record),
        toBinary(CommandSchema, command),
      );
    }
    if (event !== undefined) this.putEvent(key, event.attempt, event.event);
    if (trace !== undefined) this.spans.put(key, trace);
  }

  private putJob(key: number, put: NonNullable<Change["job"]>): void {
    const { job, resumeState, open, spec } = put;
    const version = Number(job.version);
    if (!spec) {
      this.sql.run(
        "UPDATE jobs SET version = ?, state = ?, open = ?, resume_state = ?, end_ms = ?, log_bytes = ?, body = ? WHERE key = ?",
        version,
        job.state,
        open ? 1 : 0,
        resumeState,
        endMs(job, Date.now()),
        storedBytes(job.attempts),
        jobBody(job),
        key,
      );
      if (job.endTime !== undefined) {
        this.sql.run(
          "UPDATE jobs SET metric_bytes = (SELECT coalesce(sum(length(body)), 0) FROM points WHERE job_key = ?1) WHERE key = ?1",
          key,
        );
      }
      return;
    }
    if (job.spec === undefined) throw new BelayError("INTERNAL", `Job "${job.jobId}" has no spec`);
    this.sql.run(
      `INSERT INTO jobs (key, job_id, version, state, open, name, create_ms, resume_state, spec, body)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (key) DO UPDATE SET version = excluded.version, state = excluded.state, open = excluded.open,
         name = excluded.name, resume_state = excluded.resume_state, spec = excluded.spec, body = excluded.body`,
      key,
      job.jobId,
      version,
      job.state,
      open ? 1 : 0,
      job.spec.name,
      job.createTime === undefined ? 0 : Math.floor(timestampMs(job.createTime)),
      resumeState,
      toBinary(JobSpecSchema, job.spec),
      jobBody(job),
    );
    this.sql.run("DELETE FROM labels WHERE job_key = ?", key);
    for (const [label, value] of Object.entries(job.spec.labels)) {
      this.sql.run("INSERT INTO labels (job_key, label, value) VALUES (?, ?, ?)", key, label, value);
    }
  }

  private knownLog(key: number, number: number): KnownLog {
    const row = this.sql.get(
      `SELECT job_id, create_ms, attempts.body, key <= unnamed_key AS unnamed
       FROM jobs JOIN attempts ON job_key = key JOIN store WHERE key = ? AND attempt = ?`,
      key,
      number,
    );
    if (row === undefined)
      throw new BelayError("INTERNAL", `No attempt ${number} of the job with key ${key} is stored`);
    const job = { jobId: String(row["job_id"]), createTime: Number(row["create_ms"]) };
    const attempt = fromBinary(AttemptSchema, row["body"] as Uint8Array);
    return {
      key,
      owner: logOwner(job, number, row["unnamed"] === 1),
      stored: isLogClosed(attempt) ? attempt.stored : undefined,
    };
  }

  private putEvent(key: number, attempt: number, event: Event): void {
    if (seriesOf(event) !== undefined) {
      this.points.put(key, attempt, event);
    } else if (event.kind.case !== undefined) {
      this.sql.run(
        "INSERT OR IGNORE INTO events (job_key, attempt, sequence, body) VALUES (?, ?, ?, ?)",
        key,
        attempt,
        Number(event.sequence),
        toBinary(EventSchema, event),
      );
      if (event.kind.case === "result") this.points.ended(key, attempt);
    }
  }

  private readStored(row: SqlRow): StoredJob {
    const key = Number(row["key"]);
    const attempts = this.sql.all("SELECT * FROM attempts WHERE job_key = ? ORDER BY attempt", key);
    const commands = this.sql
      .all("SELECT record, command FROM commands WHERE job_key = ? ORDER BY number", key)
      .map(readCommand);
    const shownFrom = commands.length - SHOWN_COMMANDS;
    return {
      key,
      job: readJob(row, attempts),
      resumeState: Number(row["resume_state"]) as JobState,
      events: new Map(attempts.map((attempt) => [Number(attempt["attempt"]), Number(attempt["events"])])),
      commands: commands.filter(({ record }, i) => i >= shownFrom || record.state < CommandState.COMPLETED),
      traceNotes: this.spans.notes(key),
    };
  }
}

import type { DatabaseSync } from "node:sqlite";
import { fromBinary } from "@bufbuild/protobuf";
import { BelayError } from "../../base/errors.ts";
import { AttemptSchema, JobSchema } from "../../gen/belay/v1/job_pb.ts";
import type { Event } from "../../gen/belay/v1/tracker_service_pb.ts";
import { EventSchema } from "../../gen/belay/v1/tracker_service_pb.ts";
import { PointStore } from "./points/point-store.ts";
import { POINTS_SCHEMA } from "./points/sql-points.ts";
import { endMs, storedBytes } from "./rows.ts";
import { Statements } from "./statements.ts";

/**
 * Migrations: each turns one version of the database into the next, beginning with an empty one. A released entry never
 * changes: a change is a new entry.
 *
 * Bodies are encoded messages of the contract, so they grow with it; the other columns are for searching.
 */
const MIGRATIONS: readonly (string | ((database: DatabaseSync) => void))[] = [
  `
  CREATE TABLE jobs (
    key INTEGER PRIMARY KEY,             -- in order of creation
    job_id TEXT NOT NULL UNIQUE,
    version INTEGER NOT NULL,
    state INTEGER NOT NULL,              -- JobState
    open INTEGER NOT NULL,               -- 1: it has not ended, or its log is not decided
    name TEXT NOT NULL,
    create_ms INTEGER NOT NULL,
    resume_state INTEGER NOT NULL,       -- JobState before it was LOST
    spec BLOB NOT NULL,                  -- JobSpec
    body BLOB NOT NULL                   -- Job without spec, attempts and commands
  ) STRICT;
  CREATE INDEX jobs_by_version ON jobs (version);
  CREATE INDEX jobs_open ON jobs (key) WHERE open = 1;
  CREATE TABLE labels (
    job_key INTEGER NOT NULL REFERENCES jobs ON DELETE CASCADE,
    label TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (job_key, label)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX labels_by_value ON labels (label, value, job_key);
  CREATE TABLE attempts (
    job_key INTEGER NOT NULL REFERENCES jobs ON DELETE CASCADE,
    attempt INTEGER NOT NULL,
    session_id TEXT NOT NULL,
    events INTEGER NOT NULL,             -- committed sequence of the lane of events
    body BLOB NOT NULL,                  -- Attempt
    PRIMARY KEY (job_key, attempt)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE commands (
    job_key INTEGER NOT NULL REFERENCES jobs ON DELETE CASCADE,
    command_id TEXT NOT NULL,
    number INTEGER NOT NULL,             -- in order of issue
    record BLOB NOT NULL,                -- CommandRecord
    command BLOB NOT NULL,               -- Command
    PRIMARY KEY (job_key, command_id)
  ) STRICT;
  CREATE TABLE events (
    job_key INTEGER NOT NULL REFERENCES jobs ON DELETE CASCADE,
    attempt INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    body BLOB NOT NULL,                  -- Event
    PRIMARY KEY (job_key, attempt, sequence)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE metrics (
    job_key INTEGER NOT NULL REFERENCES jobs ON DELETE CASCADE,
    attempt INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    time_nano INTEGER NOT NULL,
    body BLOB NOT NULL,                  -- Event with a metric_sample or job_metrics
    PRIMARY KEY (job_key, attempt, sequence)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE deletions (
    version INTEGER PRIMARY KEY,
    job_id TEXT NOT NULL
  ) STRICT;
  `,
  addEndings,
  boundMetrics,
  `
  CREATE TABLE traces (
    job_key INTEGER PRIMARY KEY REFERENCES jobs ON DELETE CASCADE,
    notes TEXT NOT NULL                  -- on spans that are not over
  ) STRICT;
  CREATE TABLE spans (
    id INTEGER PRIMARY KEY AUTOINCREMENT, -- in the order in which they ended
    body BLOB NOT NULL                   -- a span that is over and waits for its export, as JSON
  ) STRICT;
  `,
  `
  CREATE TABLE store (
    id TEXT NOT NULL,                    -- the same as in logs/store-id: this database belongs to those logs
    unnamed_key INTEGER NOT NULL         -- logs of jobs up to this key need not name their owner: they are older
  ) STRICT;
  INSERT INTO store SELECT lower(hex(randomblob(16))), coalesce(max(key), 0) FROM jobs;
  `,
];

/** What retention goes by: when a job ended, and how much of its output is stored. */
function addEndings(database: DatabaseSync): void {
  database.exec(`
    ALTER TABLE jobs ADD COLUMN end_ms INTEGER;                -- NULL: it has not ended
    ALTER TABLE jobs ADD COLUMN log_bytes INTEGER NOT NULL DEFAULT 0;
    CREATE INDEX jobs_by_end ON jobs (end_ms) WHERE end_ms IS NOT NULL;
    CREATE TABLE probe (id INTEGER PRIMARY KEY, value INTEGER NOT NULL) STRICT;
  `);
  const attempts = database.prepare("SELECT body FROM attempts WHERE job_key = ?");
  const put = database.prepare("UPDATE jobs SET end_ms = ?, log_bytes = ? WHERE key = ?");
  for (const row of database.prepare("SELECT key, body FROM jobs").all()) {
    const key = Number(row["key"]);
    const job = fromBinary(JobSchema, row["body"] as Uint8Array);
    const of = attempts.all(key).map(({ body }) => fromBinary(AttemptSchema, body as Uint8Array));
    put.run(endMs(job, Date.now()), storedBytes(of), key);
  }
}

/** Metrics in tiers. What an older tracker kept, every event, is merged as if it arrived now. */
function boundMetrics(database: DatabaseSync): void {
  database.exec(POINTS_SCHEMA);
  database.exec("ALTER TABLE jobs ADD COLUMN metric_bytes INTEGER NOT NULL DEFAULT 0");
  const points = new PointStore(new Statements(database));
  const rows = database.prepare("SELECT job_key, attempt, body FROM metrics ORDER BY job_key, attempt, sequence");
  for (const row of rows.iterate()) {
    const event = readable(row["body"] as Uint8Array);
    if (event !== undefined) points.put(Number(row["job_key"]), Number(row["attempt"]), event);
  }
  database.exec(`
    DROP TABLE metrics;
    UPDATE jobs SET metric_bytes = (SELECT coalesce(sum(length(body)), 0) FROM points WHERE job_key = key)
    WHERE end_ms IS NOT NULL;
  `);
}

/** Undefined: it is damaged, which is no reason not to start. */
function readable(body: Uint8Array): Event | undefined {
  try {
    return fromBinary(EventSchema, body);
  } catch {
    return undefined;
  }
}

/** First version of the database that says which logs are its own. */
export const MARKS_LOGS = 5;

/** Version of the database that this tracker writes. */
export const SCHEMA_VERSION: number = MIGRATIONS.length;

/**
 * Migrates a database to the version of this tracker.
 *
 * @returns the version that it had. 0: it was empty
 * @throws BelayError `STORE` if it is newer
 */
export function migrate(database: DatabaseSync, path: string): number {
  const found = Number(database.prepare("PRAGMA user_version").get()?.["user_version"] ?? 0);
  if (found > SCHEMA_VERSION) {
    throw new BelayError(
      "STORE",
      `Cannot use "${path}": it has version ${found} and this tracker knows versions up to ${SCHEMA_VERSION}. ` +
        `Start the newer tracker that wrote it`,
    );
  }
  for (let version = found; version < SCHEMA_VERSION; version++) {
    const migration = MIGRATIONS[version];
    database.exec("BEGIN IMMEDIATE");
    try {
      if (typeof migration === "function") migration(database);
      else database.exec(migration ?? "");
      database.exec(`PRAGMA user_version = ${version + 1}; COMMIT`);
    } catch (error) {
      if (database.isTransaction) database.exec("ROLLBACK");
      throw error;
    }
  }
  return found;
}

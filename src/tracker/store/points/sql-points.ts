import type { SqlRow, Statements } from "../statements.ts";
import { Names } from "./names.ts";
import type { PointRow, SeriesRows } from "./series.ts";
import type { Tally } from "./tiers.ts";
import { SeriesKind } from "./merge.ts";

const MAX_INT64 = 2n ** 63n - 1n;

/** The tables of this file; entry 3 of the migrations makes them. */
export const POINTS_SCHEMA = `
  CREATE TABLE points (
    job_key INTEGER NOT NULL REFERENCES jobs ON DELETE CASCADE,
    attempt INTEGER NOT NULL,
    kind INTEGER NOT NULL,               -- SeriesKind
    tier INTEGER NOT NULL,               -- it stands for 4 ** tier events
    sequence INTEGER NOT NULL,           -- of the last of them
    time_nano INTEGER NOT NULL,          -- of the last of them
    body BLOB NOT NULL,                  -- Event with a metric_sample or job_metrics, as packEvent writes it
    PRIMARY KEY (job_key, attempt, kind, tier, sequence)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE metric_names (
    job_key INTEGER NOT NULL REFERENCES jobs ON DELETE CASCADE,
    attempt INTEGER NOT NULL,
    names TEXT NOT NULL,                 -- JSON: the names of its own metrics that the attempt has used
    unkept INTEGER NOT NULL,             -- values not kept, since their name was one too many
    PRIMARY KEY (job_key, attempt)
  ) STRICT, WITHOUT ROWID;
`;

/** Selects points. */
export interface PointsQuery {
  readonly key: number;
  readonly attempt: number;
  readonly fromNano: bigint;
  readonly toNano: bigint;
  /** Only points with a higher sequence. */
  readonly afterSequence: number;
}

/** The stored metrics of an attempt, at one moment. `unpackEvent` decodes the bodies, which are oldest first. */
export interface Points {
  readonly usage: readonly Uint8Array[];
  readonly own: readonly Uint8Array[];
  /** Sequence of the newest stored point, also if its time is not selected. */
  readonly lastSequence: number;
  /** How many values were not kept because the attempt used too many names. */
  readonly unkeptValues: number;
}

/** What each tier of an attempt's two series holds. */
export interface Tallies {
  readonly usage: Tally[];
  readonly own: Tally[];
}

/** The rows of points and names. Knows neither what is in a body, nor when points are merged. */
export class SqlPoints {
  private readonly sql: Statements;

  constructor(sql: Statements) {
    this.sql = sql;
  }

  /** The rows of one series. */
  series(key: number, attempt: number, kind: SeriesKind): SeriesRows {
    return new SqlSeries(this.sql, key, attempt, kind);
  }

  tallies(key: number, attempt: number): Tallies {
    const tallies: Tallies = { usage: [], own: [] };
    const rows = this.sql.all(
      `SELECT kind, tier, count(*) AS points, sum(length(body)) AS bytes FROM points
       WHERE job_key = ? AND attempt = ? GROUP BY kind, tier ORDER BY kind, tier`,
      key,
      attempt,
    );
    for (const row of rows) {
      const tiers = row["kind"] === SeriesKind.USAGE ? tallies.usage : tallies.own;
      tiers[Number(row["tier"])] = { points: Number(row["points"]), bytes: Number(row["bytes"]) };
    }
    return tallies;
  }

  names(key: number, attempt: number): Names {
    const row = this.sql.get("SELECT names, unkept FROM metric_names WHERE job_key = ? AND attempt = ?", key, attempt);
    return row === undefined
      ? new Names()
      : new Names(JSON.parse(String(row["names"])) as string[], Number(row["unkept"]));
  }

  putNames(key: number, attempt: number, { known, unkept }: Names): void {
    this.sql.run(
      `INSERT INTO metric_names (job_key, attempt, names, unkept) VALUES (?, ?, ?, ?)
       ON CONFLICT (job_key, attempt) DO UPDATE SET names = excluded.names, unkept = excluded.unkept`,
      key,
      attempt,
      JSON.stringify([...known]),
      unkept,
    );
  }

  read({ key, attempt, afterSequence, fromNano, toNano }: PointsQuery): Points {
    let lastSequence = afterSequence;
    const ofKind = (kind: SeriesKind): Uint8Array[] => {
      const tiers: Uint8Array[][] = [];
      for (let tier = 0; ; tier++) {
        const newest = this.newest(key, attempt, kind, tier);
        // The coarser tiers are even older.
        if (newest <= afterSequence) return tiers.toReversed().flat();
        lastSequence = Math.max(lastSequence, newest);
        const rows = this.sql.all(
          `SELECT body FROM points WHERE job_key = ? AND attempt = ? AND kind = ? AND tier = ? AND sequence > ?
           AND time_nano >= ? AND time_nano < ? ORDER BY sequence`,
          key,
          attempt,
          kind,
          tier,
          afterSequence,
          int64(fromNano),
          int64(toNano),
        );
        tiers.push(rows.map(bodyOf));
      }
    };
    const usage = ofKind(SeriesKind.USAGE);
    const own = ofKind(SeriesKind.OWN);
    return { usage, own, lastSequence, unkeptValues: this.names(key, attempt).unkept };
  }

  /** Sequence of a tier's newest point. 0: the tier is empty. */
  private newest(key: number, attempt: number, kind: SeriesKind, tier: number): number {
    const row = this.sql.get(
      "SELECT max(sequence) AS newest FROM points WHERE job_key = ? AND attempt = ? AND kind = ? AND tier = ?",
      key,
      attempt,
      kind,
      tier,
    );
    return Number(row?.["newest"] ?? 0);
  }
}

class SqlSeries implements SeriesRows {
  private readonly sql: Statements;
  private readonly id: readonly [key: number, attempt: number, kind: SeriesKind];

  constructor(sql: Statements, key: number, attempt: number, kind: SeriesKind) {
    this.sql = sql;
    this.id = [key, attempt, kind];
  }

  insert(tier: number, { sequence, timeNano, body }: PointRow): void {
    this.sql.run(
      "INSERT OR IGNORE INTO points (job_key, attempt, kind, tier, sequence, time_nano, body) VALUES (?, ?, ?, ?, ?, ?, ?)",
      ...this.id,
      tier,
      sequence,
      int64(timeNano),
      body,
    );
  }

  oldest(tier: number, most: number): Uint8Array[] {
    const rows = this.sql.all(
      "SELECT body FROM points WHERE job_key = ? AND attempt = ? AND kind = ? AND tier = ? ORDER BY sequence LIMIT ?",
      ...this.id,
      tier,
      most,
    );
    return rows.map(bodyOf);
  }

  newest(tier: number): Uint8Array | undefined {
    const row = this.sql.get(
      `SELECT body FROM points WHERE job_key = ? AND attempt = ? AND kind = ? AND tier = ?
       ORDER BY sequence DESC LIMIT 1`,
      ...this.id,
      tier,
    );
    return row === undefined ? undefined : bodyOf(row);
  }

  removeUpTo(tier: number, sequence: number): void {
    this.sql.run(
      "DELETE FROM points WHERE job_key = ? AND attempt = ? AND kind = ? AND tier = ? AND sequence <= ?",
      ...this.id,
      tier,
      sequence,
    );
  }
}

function bodyOf(row: SqlRow): Uint8Array {
  return row["body"] as Uint8Array;
}

/** SQLite's integers have 63 bits and a sign. */
function int64(value: bigint): bigint {
  return value > MAX_INT64 ? MAX_INT64 : value;
}

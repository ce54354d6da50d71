import { create } from "@bufbuild/protobuf";
import type { Event } from "../../../gen/belay/v1/tracker_service_pb.ts";
import { EventSchema } from "../../../gen/belay/v1/tracker_service_pb.ts";
import type { Statements } from "../statements.ts";
import { packEvent, unpackEvent } from "./body.ts";
import { mergeEvents, SeriesKind, seriesOf, timeOf } from "./merge.ts";
import { Names } from "./names.ts";
import type { Tally } from "./tiers.ts";
import { BATCH, FAN, isFull, surplus } from "./tiers.ts";

/** Most attempts whose tallies are kept in memory: those that run, and some that have ended. */
const KEPT_ATTEMPTS = 20_000;
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

interface Series {
  readonly key: number;
  readonly attempt: number;
  readonly kind: SeriesKind;
  /** By tier. */
  readonly tiers: Tally[];
}

interface AttemptState {
  readonly usage: Series;
  readonly own: Series;
  names: Names | undefined;
}

/**
 * The metrics of all attempts, in tiers (see `tiers.ts`), so that each attempt's metrics are bounded. Everything runs
 * inside the store's transactions: points are merged in the transaction of the event that made it necessary.
 */
export class PointsTable {
  private readonly sql: Statements;
  private readonly tooManyNames: (key: number, attempt: number) => void;
  private readonly attempts = new Map<string, AttemptState>();

  /** @param tooManyNames called once for an attempt that uses more names than are kept */
  constructor(sql: Statements, tooManyNames: (key: number, attempt: number) => void = () => undefined) {
    this.sql = sql;
    this.tooManyNames = tooManyNames;
  }

  /** Stores an event, and makes room in one tier if one is full. Events that belong to no series are ignored. */
  put(key: number, attempt: number, event: Event): void {
    const state = this.stateOf(key, attempt);
    const kind = seriesOf(event);
    if (kind === undefined) return;
    const series = kind === SeriesKind.USAGE ? state.usage : state.own;
    this.insert(series, 0, this.boundNames(state, event));
    const full = series.tiers.findIndex(isFull);
    if (full >= 0) this.makeRoom(series, full);
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
        tiers.push(rows.map((row) => row["body"] as Uint8Array));
      }
    };
    const usage = ofKind(SeriesKind.USAGE);
    const own = ofKind(SeriesKind.OWN);
    return { usage, own, lastSequence, unkeptValues: this.readNames(key, attempt).unkept };
  }

  /** Frees the memory of an attempt that has ended. */
  ended(key: number, attempt: number): void {
    this.attempts.delete(`${key}/${attempt}`);
  }

  /** Must be called when a transaction has failed: the state in memory may be ahead of the disk. */
  forget(): void {
    this.attempts.clear();
  }

  private insert(series: Series, tier: number, event: Event): void {
    const body = packEvent(event);
    this.sql.run(
      "INSERT OR IGNORE INTO points (job_key, attempt, kind, tier, sequence, time_nano, body) VALUES (?, ?, ?, ?, ?, ?, ?)",
      series.key,
      series.attempt,
      series.kind,
      tier,
      Number(event.sequence),
      int64(timeOf(event)),
      body,
    );
    const tally = (series.tiers[tier] ??= { points: 0, bytes: 0 });
    tally.points++;
    tally.bytes += body.length;
  }

  /** Merges the oldest points of a full tier into the next tier. */
  private makeRoom(series: Series, tier: number): void {
    const { key, attempt, kind } = series;
    const tally = series.tiers[tier];
    if (tally === undefined) return;
    const rows = this.sql.all(
      "SELECT body FROM points WHERE job_key = ? AND attempt = ? AND kind = ? AND tier = ? ORDER BY sequence LIMIT ?",
      key,
      attempt,
      kind,
      tier,
      BATCH,
    );
    const bodies = rows.map((row) => row["body"] as Uint8Array);
    const given = bodies.slice(
      0,
      surplus(
        tally,
        bodies.map(({ length }) => length),
      ),
    );
    if (given.length === 0) return;
    const events = given.map(unpackEvent);
    let before = this.newestEvent(series, tier + 1);
    this.sql.run(
      "DELETE FROM points WHERE job_key = ? AND attempt = ? AND kind = ? AND tier = ? AND sequence <= ?",
      key,
      attempt,
      kind,
      tier,
      Number(events.at(-1)?.sequence),
    );
    tally.points -= given.length;
    for (const { length } of given) tally.bytes -= length;
    for (let at = 0; at < events.length; at += FAN) {
      const merged = mergeEvents(events.slice(at, at + FAN), before);
      this.insert(series, tier + 1, merged);
      before = merged;
    }
  }

  private boundNames(state: AttemptState, event: Event): Event {
    if (event.kind.case !== "jobMetrics") return event;
    const { key, attempt } = state.own;
    state.names ??= this.readNames(key, attempt);
    const { names } = state;
    const { unkept, known } = names;
    const before = known.size;
    const value = names.bound(event.kind.value);
    if (known.size > before || names.unkept > unkept) {
      this.sql.run(
        `INSERT INTO metric_names (job_key, attempt, names, unkept) VALUES (?, ?, ?, ?)
         ON CONFLICT (job_key, attempt) DO UPDATE SET names = excluded.names, unkept = excluded.unkept`,
        key,
        attempt,
        JSON.stringify([...known]),
        names.unkept,
      );
      if (unkept === 0 && names.unkept > 0) this.tooManyNames(key, attempt);
    }
    return value === event.kind.value ? event : create(EventSchema, { ...event, kind: { case: "jobMetrics", value } });
  }

  private readNames(key: number, attempt: number): Names {
    const row = this.sql.get("SELECT names, unkept FROM metric_names WHERE job_key = ? AND attempt = ?", key, attempt);
    return row === undefined
      ? new Names()
      : new Names(JSON.parse(String(row["names"])) as string[], Number(row["unkept"]));
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

  private newestEvent({ key, attempt, kind }: Series, tier: number): Event | undefined {
    const row = this.sql.get(
      `SELECT body FROM points WHERE job_key = ? AND attempt = ? AND kind = ? AND tier = ?
       ORDER BY sequence DESC LIMIT 1`,
      key,
      attempt,
      kind,
      tier,
    );
    return row === undefined ? undefined : unpackEvent(row["body"] as Uint8Array);
  }

  private stateOf(key: number, attempt: number): AttemptState {
    const id = `${key}/${attempt}`;
    let state = this.attempts.get(id);
    if (state === undefined) {
      state = this.readState(key, attempt);
      this.attempts.set(id, state);
      if (this.attempts.size > KEPT_ATTEMPTS) {
        const [oldest] = this.attempts.keys();
        if (oldest !== undefined) this.attempts.delete(oldest);
      }
    }
    return state;
  }

  private readState(key: number, attempt: number): AttemptState {
    const series = (kind: SeriesKind): Series => ({ key, attempt, kind, tiers: [] });
    const state = { usage: series(SeriesKind.USAGE), own: series(SeriesKind.OWN), names: undefined };
    const rows = this.sql.all(
      `SELECT kind, tier, count(*) AS points, sum(length(body)) AS bytes FROM points
       WHERE job_key = ? AND attempt = ? GROUP BY kind, tier ORDER BY kind, tier`,
      key,
      attempt,
    );
    for (const row of rows) {
      const { tiers } = row["kind"] === SeriesKind.USAGE ? state.usage : state.own;
      tiers[Number(row["tier"])] = { points: Number(row["points"]), bytes: Number(row["bytes"]) };
    }
    return state;
  }
}

/** SQLite's integers have 63 bits and a sign. */
function int64(value: bigint): bigint {
  return value > MAX_INT64 ? MAX_INT64 : value;
}

import { create } from "@bufbuild/protobuf";
import type { Event } from "../../../gen/belay/v1/tracker_service_pb.ts";
import { EventSchema } from "../../../gen/belay/v1/tracker_service_pb.ts";
import type { Statements } from "../statements.ts";
import { SeriesKind, seriesOf } from "./merge.ts";
import type { Names } from "./names.ts";
import { Series } from "./series.ts";
import type { Points, PointsQuery } from "./sql-points.ts";
import { SqlPoints } from "./sql-points.ts";

/** Most attempts whose tallies are kept in memory: those that run, and some that have ended. */
const KEPT_ATTEMPTS = 20_000;

/** What is in memory of an attempt's metrics. */
interface AttemptState {
  readonly usage: Series;
  readonly own: Series;
  names: Names | undefined;
}

/**
 * The metrics of all attempts, in tiers (see `tiers.ts`), so that each attempt's metrics are bounded. Everything runs
 * inside the store's transactions: points are merged in the transaction of the event that made it necessary.
 */
export class PointStore {
  private readonly rows: SqlPoints;
  private readonly tooManyNames: (key: number, attempt: number) => void;
  private readonly attempts = new Map<string, AttemptState>();

  /** @param tooManyNames called once for an attempt that uses more names than are kept */
  constructor(sql: Statements, tooManyNames: (key: number, attempt: number) => void = () => undefined) {
    this.rows = new SqlPoints(sql);
    this.tooManyNames = tooManyNames;
  }

  /** Stores an event. Events that belong to no series are ignored. */
  put(key: number, attempt: number, event: Event): void {
    const state = this.stateOf(key, attempt);
    const kind = seriesOf(event);
    if (kind === SeriesKind.USAGE) state.usage.put(event);
    else if (kind === SeriesKind.OWN) state.own.put(this.boundNames(key, attempt, state, event));
  }

  read(query: PointsQuery): Points {
    return this.rows.read(query);
  }

  /** Frees the memory of an attempt that has ended. */
  ended(key: number, attempt: number): void {
    this.attempts.delete(`${key}/${attempt}`);
  }

  /** Must be called when a transaction has failed: the state in memory may be ahead of the disk. */
  forget(): void {
    this.attempts.clear();
  }

  private boundNames(key: number, attempt: number, state: AttemptState, event: Event): Event {
    if (event.kind.case !== "jobMetrics") return event;
    const names = (state.names ??= this.rows.names(key, attempt));
    const { unkept } = names;
    const before = names.known.size;
    const value = names.bound(event.kind.value);
    if (names.known.size > before || names.unkept > unkept) {
      this.rows.putNames(key, attempt, names);
      if (unkept === 0 && names.unkept > 0) this.tooManyNames(key, attempt);
    }
    return value === event.kind.value ? event : create(EventSchema, { ...event, kind: { case: "jobMetrics", value } });
  }

  private stateOf(key: number, attempt: number): AttemptState {
    const id = `${key}/${attempt}`;
    let state = this.attempts.get(id);
    if (state === undefined) {
      const tallies = this.rows.tallies(key, attempt);
      state = {
        usage: new Series(this.rows.series(key, attempt, SeriesKind.USAGE), tallies.usage),
        own: new Series(this.rows.series(key, attempt, SeriesKind.OWN), tallies.own),
        names: undefined,
      };
      this.attempts.set(id, state);
      if (this.attempts.size > KEPT_ATTEMPTS) {
        const [oldest] = this.attempts.keys();
        if (oldest !== undefined) this.attempts.delete(oldest);
      }
    }
    return state;
  }
}

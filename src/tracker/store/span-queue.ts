import { MiB } from "../../base/text/sizes.ts";
import type { GroupCommit } from "./group-commit.ts";
import type { Statements } from "./statements.ts";
import type { TraceChange } from "./trace-change.ts";

/** Bytes of spans that wait for their export: about twenty thousand of them. */
const MAX_BYTES = 16 * MiB;

/** Spans that wait, oldest first. */
export interface WaitingSpans {
  /** Number of the last one; 0: none waits. */
  readonly last: number;
  readonly bodies: readonly string[];
}

/**
 * Spans that are over and not exported yet. They are stored in the transaction of the change that ended them, so that
 * each is exported however the tracker ends, and removed once the collector has accepted it.
 *
 * Law: at most 16 MiB wait; when more come, the oldest are dropped and counted.
 */
export class SpanQueue {
  /** Spans that were dropped since there were too many. */
  dropped = 0;
  private readonly group: GroupCommit;
  private readonly sql: Statements;
  private size: { count: number; bytes: number } | undefined;

  constructor(group: GroupCommit, sql: Statements) {
    this.group = group;
    this.sql = sql;
  }

  /** How many spans wait. */
  get count(): number {
    return this.measured().count;
  }

  /** Bytes of the spans that wait. */
  get bytes(): number {
    return this.measured().bytes;
  }

  /** Stores the spans and notes of a change. Must be called within a transaction; if that fails, call `recount`. */
  put(key: number, { notes, ended }: TraceChange): void {
    if (notes === "") this.sql.run("DELETE FROM traces WHERE job_key = ?", key);
    else {
      this.sql.run(
        "INSERT INTO traces (job_key, notes) VALUES (?, ?) ON CONFLICT (job_key) DO UPDATE SET notes = excluded.notes",
        key,
        notes,
      );
    }
    if (ended.length > 0) this.add(ended);
  }

  /** What was noted last on a job's spans that are not over. Empty: nothing. */
  notes(key: number): string {
    return String(this.sql.get("SELECT notes FROM traces WHERE job_key = ?", key)?.["notes"] ?? "");
  }

  /** Must be called when a transaction was rolled back: the next read counts again. */
  recount(): void {
    this.size = undefined;
  }

  /** The oldest ones, at least one if any waits. They stay until they are removed. */
  oldest(limit: { readonly count: number; readonly bytes: number }): WaitingSpans {
    this.group.commit();
    let last = 0;
    let bytes = 0;
    const bodies: string[] = [];
    for (const row of this.sql.all("SELECT id, body FROM spans ORDER BY id LIMIT ?", limit.count)) {
      const body = row["body"] as Uint8Array;
      bytes += body.length;
      if (bodies.length > 0 && bytes > limit.bytes) break;
      last = Number(row["id"]);
      bodies.push(Buffer.from(body).toString("utf8"));
    }
    return { last, bodies };
  }

  /** Removes those up to a number. */
  async remove(last: number): Promise<void> {
    await this.group.add(
      () => {
        const size = this.measured();
        for (const row of this.sql.all("DELETE FROM spans WHERE id <= ? RETURNING length(body) AS bytes", last)) {
          size.count--;
          size.bytes -= Number(row["bytes"]);
        }
      },
      { undone: () => this.recount() },
    );
  }

  private add(spans: readonly string[]): void {
    const size = this.measured();
    for (const span of spans) {
      const body = Buffer.from(span);
      this.sql.run("INSERT INTO spans (body) VALUES (?)", body);
      size.count++;
      size.bytes += body.length;
    }
    while (size.bytes > MAX_BYTES && size.count > 1) {
      const row = this.sql.get(
        "DELETE FROM spans WHERE id = (SELECT min(id) FROM spans) RETURNING length(body) AS bytes",
      );
      size.count--;
      size.bytes -= Number(row?.["bytes"] ?? size.bytes);
      this.dropped++;
    }
  }

  private measured(): { count: number; bytes: number } {
    if (this.size === undefined) {
      // The length of a BLOB stands in its row's header: its bytes are not read for it.
      const row = this.sql.get("SELECT count(*) AS count, coalesce(sum(length(body)), 0) AS bytes FROM spans");
      this.size = { count: Number(row?.["count"]), bytes: Number(row?.["bytes"]) };
    }
    return this.size;
  }
}

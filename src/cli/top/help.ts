import type { Line } from "../terminal/line.ts";
import { line, span } from "../terminal/line.ts";

/** Every key, for the help on the screen and for `--help`. */
export const KEYS: readonly (readonly [keys: string, does: string])[] = [
  ["Up Down k j", "select a job; PgUp PgDn Home End: further"],
  ["Enter l", "open the job's log and follow it; the same keys scroll, End follows again, q goes back"],
  ["i", "everything known about the job, as in belay show"],
  ["c", "cancel the job; asks first, and for a reason"],
  ["s", "sort: cpu memory age state name progress heard; the same again, or r, reverses"],
  ["/", "filter by part of id, name, state or host, or label=value; Esc clears"],
  ["a", "show ended jobs, too; otherwise a job that ends stays for half a minute"],
  ["Ctrl-L", "redraw the screen"],
  ["Ctrl-Z", "suspend; fg continues"],
  ["q Ctrl-C", "quit"],
];

const COLUMNS: readonly (readonly [title: string, means: string])[] = [
  ["CPU %", "processor cores in use, and their share of the job's limit; yellow from 90 % on"],
  ["MEM %", "resident memory, and its share of the job's limit"],
  ["PROGRESS", "progress that the job reports through $BELAY_METRICS, and the time left at this pace"],
  ["TIME", "since the job's start; dim: since it was recorded"],
  ["HEARD", "since the last message of the job's agent; away: it is not connected"],
];

/** What the keys do and what the columns mean. */
export function helpLines(): readonly Line[] {
  const rows = (entries: typeof KEYS): Line[] =>
    entries.map(([keys, does]) => line("  ", span(keys.padEnd(14), "bold"), does));
  return [line(span("Keys", "bold")), ...rows(KEYS), line(), line(span("Columns", "bold")), ...rows(COLUMNS)];
}

import type { Line } from "../terminal/line.ts";
import { line, span } from "../terminal/line.ts";

/** Every key, for the help on the screen and for `--help`. */
export const KEYS: readonly (readonly [keys: string, does: string])[] = [
  ["Up Down k j", "select a job; PgUp PgDn Home End: further"],
  ["Enter l", "open its log: follows; scroll with the same keys, End follows again, q goes back"],
  ["i", "all that is known of it, as belay show tells"],
  ["c", "cancel it; asks first, and takes a reason"],
  ["s", "sort: cpu memory age state name progress heard; the same again reverses; r too"],
  ["/", "filter by part of id, name, state or host, or label=value; Esc clears"],
  ["a", "show ended jobs, too; without, those that end stay for half a minute"],
  ["Ctrl-L", "draw the screen anew"],
  ["Ctrl-Z", "suspend; fg comes back"],
  ["q Ctrl-C", "quit"],
];

const COLUMNS: readonly (readonly [title: string, means: string])[] = [
  ["CPU %", "processor cores in use, and of those it may use; yellow from 90 % on"],
  ["MEM %", "resident memory, and of its limit"],
  ["PROGRESS", "what the job says through $BELAY_METRICS, and the time left at this pace"],
  ["TIME", "since its start; dim: since it was recorded"],
  ["HEARD", "since the last word of its agent; away: it has no connection"],
];

/** What the keys do and the columns mean. */
export function helpLines(): readonly Line[] {
  const rows = (entries: typeof KEYS): Line[] =>
    entries.map(([keys, does]) => line("  ", span(keys.padEnd(14), "bold"), does));
  return [line(span("Keys", "bold")), ...rows(KEYS), line(), line(span("Columns", "bold")), ...rows(COLUMNS)];
}

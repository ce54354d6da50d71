import { JobState } from "../../gen/belay/v1/job_pb.ts";
import type { JobRow } from "./row.ts";
import { stateName } from "../../contract/names.ts";

/** The values by which jobs can be sorted. */
export const SORTS = ["cpu", "memory", "age", "state", "name", "progress", "heard"] as const;
/** See SORTS. */
export type Sort = (typeof SORTS)[number];

/** States, the most urgent first. */
const STATE_ORDER: readonly JobState[] = [
  JobState.LOST,
  JobState.CANCELING,
  JobState.SETTING_UP,
  JobState.RUNNING,
  JobState.PAUSED,
  JobState.PENDING,
  JobState.FAILED,
  JobState.CANCELED,
  JobState.SUCCEEDED,
];

/** The rows in order: first what a user looks for, such as the most CPU. Rows without a value are always last. */
export function sorted(rows: readonly JobRow[], sort: Sort, reverse: boolean): JobRow[] {
  const value = VALUES[sort];
  const keyed = rows.map((row) => ({ row, key: value(row) }));
  keyed.sort((a, b) => compareKeys(a.key, b.key, reverse) || compareTies(a.row, b.row));
  return keyed.map(({ row }) => row);
}

/** Whether a row matches every word of a filter: `k=v` is a label, any other word part of id, name, state or host. */
export function passesWords(row: JobRow, filter: string): boolean {
  const words = filter.split(/\s+/).filter((word) => word !== "");
  if (words.length === 0) return true;
  const text = `${row.jobId} ${row.name} ${stateName(row.state)} ${row.host}`.toLowerCase();
  return words.every((word) => {
    const cut = word.indexOf("=");
    const label = word.slice(0, cut);
    if (cut > 0 && Object.hasOwn(row.labels, label)) return row.labels[label]?.startsWith(word.slice(cut + 1)) === true;
    return text.includes(word.toLowerCase());
  });
}

/** Sort keys: the row with the least key comes first. Undefined: the row has no value. */
const VALUES: Readonly<Record<Sort, (row: JobRow) => number | string | undefined>> = {
  cpu: ({ cpuCores }) => (cpuCores === undefined ? undefined : -cpuCores),
  memory: ({ memoryBytes }) => (memoryBytes === undefined ? undefined : -memoryBytes),
  age: ({ startMs, createMs }) => startMs ?? createMs,
  state: ({ state }) => STATE_ORDER.indexOf(state),
  name: ({ jobId }) => jobId,
  progress: ({ progress }) => (progress === undefined ? undefined : -progress.fraction),
  heard: ({ heardMs }) => heardMs,
};

function compareKeys(a: number | string | undefined, b: number | string | undefined, reverse: boolean): number {
  if (a === undefined || b === undefined) return (a === undefined ? 1 : 0) - (b === undefined ? 1 : 0);
  const order =
    typeof a === "string" && typeof b === "string"
      ? a.localeCompare(b, "en", { numeric: true })
      : Number(a) - Number(b);
  return reverse ? -order : order;
}

/** Newest first, then by id: an order that does not depend on when answers arrive. */
function compareTies(a: JobRow, b: JobRow): number {
  return b.createMs - a.createMs || (a.jobId < b.jobId ? -1 : 1);
}

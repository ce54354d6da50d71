import type { JobState } from "../../gen/belay/v1/job_pb.ts";
import type { JobSet } from "./job-set.ts";
import { passesWords, sorted } from "./order.ts";
import type { JobRow } from "./row.ts";
import type { Ui } from "./ui.ts";

/** The rows that the user has chosen to see, in order. @param states only these; empty: all */
export function rowsOf(jobs: JobSet, ui: Ui, states: ReadonlySet<JobState>, nowMs: number): readonly JobRow[] {
  const wanted: JobRow[] = [];
  for (const row of jobs.all()) {
    if (states.size > 0 && !states.has(row.state)) continue;
    if (!ui.showEnded && !jobs.isCurrent(row, nowMs)) continue;
    if (passesWords(row, ui.filter)) wanted.push(row);
  }
  return sorted(wanted, ui.sort, ui.reverse);
}

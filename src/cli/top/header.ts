import { JobState } from "../../gen/belay/v1/job_pb.ts";
import { compactCores, compactDuration, compactSize } from "./compact.ts";
import type { Totals } from "./job-set.ts";
import { ENDED_STATES } from "../../contract/states.ts";
import type { Line, Span } from "../terminal/line.ts";
import { edges, span } from "../terminal/line.ts";
import type { LinkState } from "./link-state.ts";
import { isSilent, isStale } from "./link-state.ts";
import { shortMessage } from "./outage-text.ts";
import type { Ui } from "./ui.ts";
import { stateName } from "../../contract/names.ts";
import { counted } from "../../base/text/count.ts";

/** States in the order in which a job goes through them. */
const STATES: readonly JobState[] = [
  JobState.RUNNING,
  JobState.SETTING_UP,
  JobState.PENDING,
  JobState.PAUSED,
  JobState.CANCELING,
  JobState.LOST,
];

/** What the two lines at the top show. */
export interface HeaderFacts {
  readonly tracker: string;
  readonly link: LinkState;
  readonly totals: Totals;
  readonly ui: Ui;
  readonly shown: number;
  readonly intervalMs: number;
  readonly nowMs: number;
}

/** The tracker's address and the state of the connection; the number of jobs and what they use. */
export function headerLines(facts: HeaderFacts, columns: number): readonly Line[] {
  const { tracker, nowMs } = facts;
  const clock = new Date(nowMs).toTimeString().slice(0, 8);
  return [
    edges(
      [span("belay top", "bold"), span("  "), span(tracker), span("  "), linkSpan(facts)],
      [span(clock, "dim")],
      columns,
    ),
    edges(countSpans(facts), usageSpans(facts.totals), columns),
  ];
}

function linkSpan({ link, nowMs, intervalMs }: HeaderFacts): Span {
  const { outage, synced, answeredMs } = link;
  if (outage === undefined) {
    if (!synced) return span("connecting", "yellow");
    if (isSilent(link, nowMs, intervalMs)) {
      return span(`NO ANSWER for ${compactDuration(nowMs - answeredMs)}`, "alarm");
    }
    return span("connected", "green");
  }
  const next = outage.nextMs - nowMs;
  const then = next > 0 ? `next try in ${Math.ceil(next / 1000)}s` : "trying now";
  return span(`AWAY for ${compactDuration(nowMs - outage.sinceMs)}, ${then}: ${shortMessage(outage.why)}`, "alarm");
}

function countSpans({ totals, ui, shown, link, nowMs, intervalMs }: HeaderFacts): Span[] {
  const { live, states } = totals;
  const present = (ui.showEnded ? [...STATES, ...ENDED_STATES] : STATES).filter(
    (state) => (states.get(state) ?? 0) > 0,
  );
  const counts = present.map((state) => {
    const alarming = state === JobState.LOST || state === JobState.FAILED;
    const name = stateName(state).toLowerCase().replace("_", " ");
    return span(`${states.get(state)} ${name}`, alarming ? "red" : "plain");
  });
  const jobs = counted(live, "job");
  const heardAt = new Date(link.answeredMs).toTimeString().slice(0, 8);
  const stale = isStale(link, nowMs, intervalMs) && link.synced ? [span(`  stale, as of ${heardAt}`, "alarm")] : [];
  const head = present.length === 0 ? [span(jobs, "bold")] : [span(jobs, "bold"), span(": ")];
  const filter = ui.filter.trim() === "" ? [] : [span(`  filter "${ui.filter.trim()}" shows ${shown}`, "yellow")];
  return [...head, ...counts.flatMap((count, i) => (i === 0 ? [count] : [span(", "), count])), ...stale, ...filter];
}

function usageSpans({ live, cpuCores, memoryBytes, gpus }: Totals): Span[] {
  if (live === 0) return [];
  const gpu = gpus === 0 ? "" : `  gpus ${gpus}`;
  return [span(`cpu ${compactCores(cpuCores)} cores  mem ${compactSize(memoryBytes)}${gpu}`)];
}

import { formatDuration } from "../../../contract/durations.ts";
import type { Job } from "../../../gen/belay/v1/job_pb.ts";
import { clean } from "../clean.ts";
import { progressBar } from "../progress-bar.ts";
import { cutText, textWidth } from "../../terminal/text-width.ts";
import type { ProgressPoint } from "../time-left.ts";
import { timeLeft } from "../time-left.ts";
import { wrap } from "../wrap.ts";
import type { ChartStyle, ChartRow } from "./chart-table.ts";
import { chartTable } from "./chart-table.ts";
import { formatNumber } from "./number.ts";
import type { Range } from "./over-time.ts";
import type { Named, Point, Series } from "./series.ts";
import { msOfNano } from "./series.ts";
import { usageRows } from "./usage-rows.ts";
import { isEnded } from "../../../contract/states.ts";

/** Widest bar. */
const BAR_WIDTH = 40;

/** What `metricsView` shows. */
export interface MetricsView {
  readonly job: Job;
  readonly attempt: number;
  readonly series: Series;
  /** Whether to show what the job uses, besides its own metrics. */
  readonly usage: boolean;
}

/** An attempt's metrics for a user: progress, what the job uses and its own metrics, each over time. */
export function metricsView({ job, attempt, series, usage }: MetricsView, chart: ChartStyle): string {
  const range = rangeOf(series);
  const used = usage ? usageRows(series.samples) : [];
  const own = [...series.named.values()].toSorted((a, b) => (a.name < b.name ? -1 : 1)).map(ownRow);
  const tables = [
    chartTable(["NOW", "AVERAGE", "PEAK"], used, range, chart, [1]),
    chartTable(["LAST", "MIN", "MAX"], own, range, chart, []),
  ];
  const remarks = [
    used.length > 0 && series.samples.at(-1)?.exact === false
      ? "Sums over the processes that were seen: without a cgroup, what ended between two samples may be missing."
      : "",
    series.unkeptValues > 0n
      ? `${series.unkeptValues} values are not kept: the job uses more names than the tracker keeps.`
      : "",
    used.length + own.length === 0 ? "No metrics yet." : "",
  ].filter((remark) => remark !== "");
  return [
    headLine({ job, attempt, series, usage }, range, chart),
    progressLine(job, series, chart),
    ...tables.map((text) => (text === "" ? "" : `\n${text}`)),
    ...(remarks.length === 0 ? [] : ["\n", ...remarks.flatMap((remark) => wrap(remark, chart.columns))]),
  ].join("");
}

function headLine({ job, attempt, series }: MetricsView, range: Range, { style, columns }: ChartStyle): string {
  const samples = series.taken;
  const plain = [
    attempt > 1 ? `attempt ${attempt}` : "",
    samples === 0n
      ? ""
      : `${samples} ${samples === 1n ? "sample" : "samples"} in ${formatDuration(range.toMs - range.fromMs)}`,
  ].filter((part) => part !== "");
  const state = `${style.bold(job.jobId)}  ${style.state(job.state)}`;
  const text = [state, ...plain].join("  ");
  // If there is not enough room, the least important part is dropped first.
  const width = job.jobId.length + 14 + plain.join("  ").length;
  return `${width > columns ? state : text}\n`;
}

function progressLine(job: Job, series: Series, { columns, ascii, style }: ChartStyle): string {
  const last = series.progress.at(-1);
  if (last === undefined) return "";
  const words = [percentText(last), leftText(job, series, ascii), clean(series.note)].filter((word) => word !== "");
  const text = words.join("  ");
  const width = Math.min(BAR_WIDTH, columns - textWidth(text) - 2);
  const bar = (wide: number): string => style.green(progressBar(last.fraction, wide, { ascii }));
  if (width >= 10) return `${bar(width)}  ${text}\n`;
  const short = words.slice(0, 2).join("  ");
  const note = words.length > 2 ? `${cutText(clean(series.note), columns)}\n` : "";
  return `${bar(Math.max(4, columns - short.length - 2))}  ${short}\n${note}`;
}

function percentText({ fraction }: ProgressPoint): string {
  return `${(fraction * 100).toFixed(1).replace(/\.0$/, "")} %`;
}

function leftText(job: Job, { progress, newestMs }: Series, ascii: boolean): string {
  if (isEnded(job.state) || (progress.at(-1)?.fraction ?? 0) >= 1) return "";
  // By the agent's clock, like the progress: our clock may differ.
  const left = timeLeft(progress, newestMs);
  return left === undefined ? `time left ${ascii ? "-" : "–"}` : `${formatDuration(left)} left`;
}

function ownRow({ name, points, last, min, max }: Named): ChartRow {
  const stretches = points.map((point, i) => ({
    fromMs: startOf(points[i - 1], point),
    toMs: point.atMs,
    value: point.value,
  }));
  const known = min <= max;
  return {
    name: clean(name),
    cells: [formatNumber(last.value), known ? formatNumber(min) : "", known ? formatNumber(max) : ""],
    note: last.step === undefined ? "" : `step ${formatNumber(last.step)}`,
    stretches,
    // The chart begins at the least value: for a loss that falls from 2.31 to 2.29, the change matters, not the size.
    ...(known && Number.isFinite(min) ? { min } : {}),
  };
}

/** Each value stands for the time since the previous one. */
function startOf(before: Point | undefined, { atMs }: Point): number {
  return before === undefined || before.atMs > atMs ? atMs : before.atMs;
}

function rangeOf(series: Series): Range {
  const first = series.samples[0];
  const starts = [
    ...(first === undefined ? [] : [msOfNano(first.merged?.firstUnixNano ?? first.sampleUnixNano)]),
    ...[...series.named.values()].flatMap(({ points }) => points.slice(0, 1).map(({ atMs }) => atMs)),
  ];
  return { fromMs: Math.min(series.newestMs, ...starts), toMs: series.newestMs };
}

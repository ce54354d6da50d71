import { JobState } from "../../gen/belay/v1/job_pb.ts";
import { progressBar } from "../render/progress-bar.ts";
import { cutText, fitText, textWidth } from "../terminal/text-width.ts";
import { timeLeft } from "../render/time-left.ts";
import { compactAge, compactCores, compactDuration, compactShare, compactSize } from "./compact.ts";
import type { Ink, Span } from "../terminal/line.ts";
import { span } from "../terminal/line.ts";
import type { Sort } from "./order.ts";
import type { JobRow } from "./row.ts";
import { stateName } from "../../contract/names.ts";
import { isEnded } from "../../contract/states.ts";

/** What a cell depends on besides its row. */
export interface CellContext {
  readonly nowMs: number;
  readonly ascii: boolean;
  /** The last line that a job printed. Empty: not known, or nothing was printed. */
  lastLine(row: JobRow): string;
}

/** A column of the table. */
export interface Column {
  readonly title: string;
  readonly width: number;
  readonly side: "left" | "right";
  /** The order of the rows when they are sorted by this column. */
  readonly sort?: Sort;
  cell(row: JobRow, context: CellContext): Span;
}

/** Below this width the column of log lines is useless. */
const LEAST_LOG = 8;
/** A number is shown as a warning from this share of its limit on. */
const NEARLY_ALL = 0.9;

/**
 * The table's columns for a screen of a given width, the most important first. Columns without room, and columns that
 * no job has a value for, are left out. The last column gets the remaining width.
 *
 * @param rows all rows of the table, not only those on the screen: scrolling must not move the columns
 */
export function columnsFor(columns: number, rows: readonly JobRow[]): readonly Column[] {
  const wide = columns >= 140;
  const has = (test: (row: JobRow) => boolean): boolean => rows.some(test);
  const chosen: (Column | false)[] = [
    jobColumn(longest(rows, ({ jobId }) => jobId, 8, columns >= 180 ? 28 : columns >= 100 ? 22 : 14)),
    columns >= 110 &&
      has(({ name }) => name !== "") &&
      nameColumn(longest(rows, ({ name }) => name, 8, columns >= 180 ? 26 : 16)),
    stateColumn(columns >= 100),
    columns >= 100 &&
      has(({ attempts }) => attempts !== "") &&
      attemptColumn(longest(rows, ({ attempts }) => attempts, 7, 9)),
    cpuColumn,
    columns >= 100 && has(({ cpuLimit }) => cpuLimit > 0) && cpuShareColumn,
    memoryColumn,
    columns >= 100 && has(({ memoryLimit }) => memoryLimit > 0) && memoryShareColumn,
    has(({ gpu }) => gpu !== undefined) && gpuColumn,
    wide && has(({ gpu }) => gpu !== undefined) && gpuMemoryColumn,
    has(({ progress }) => progress !== undefined) && progressColumn(wide ? 12 : columns >= 100 ? 8 : 4),
    columns >= 170 &&
      has(({ progress }) => (progress?.note ?? "") !== "") &&
      noteColumn(longest(rows, ({ progress }) => progress?.note ?? "", 4, 16)),
    timeColumn,
    heardColumn(columns >= 120),
    columns >= 150 && hostColumn(longest(rows, ({ host }) => host, 4, 14)),
  ];
  const fixed = chosen.filter((column) => column !== false);
  const kept: Column[] = [];
  let used = 0;
  for (const column of fixed) {
    if (kept.length > 0 && used + column.width > columns) break;
    kept.push(column);
    used += column.width + 1;
  }
  const left = columns - used;
  return left >= LEAST_LOG ? [...kept, logColumn(left)] : kept;
}

/** The cells of a row, each as wide as its column, with a blank between. */
export function cellsOfRow(row: JobRow, columns: readonly Column[], context: CellContext): Span[] {
  return columns.flatMap((column, i) => {
    const { text, ink } = column.cell(row, context);
    const fitted = span(fitText(text, column.width, column.side), ink);
    return i === 0 ? [fitted] : [span(" "), fitted];
  });
}

function jobColumn(width: number): Column {
  return { title: "JOB", width, side: "left", sort: "name", cell: ({ jobId }) => span(jobId, "bold") };
}

function nameColumn(width: number): Column {
  return { title: "NAME", width, side: "left", cell: ({ name }) => span(name) };
}

function stateColumn(roomy: boolean): Column {
  return {
    title: "STATE",
    width: roomy ? 10 : 9,
    side: "left",
    sort: "state",
    cell: ({ state }) => span(!roomy && state === JobState.SETTING_UP ? "SETUP" : stateName(state), stateInk(state)),
  };
}

function attemptColumn(width: number): Column {
  return { title: "ATTEMPT", width, side: "right", cell: ({ attempts }) => span(attempts) };
}

const cpuColumn: Column = {
  title: "CPU",
  width: 5,
  side: "right",
  sort: "cpu",
  cell: ({ cpuCores, cpuLimit }) =>
    cpuCores === undefined ? span("") : span(compactCores(cpuCores), limitInk(cpuCores, cpuLimit)),
};

const cpuShareColumn: Column = {
  title: "%",
  width: 4,
  side: "right",
  cell: ({ cpuCores, cpuLimit }) => shareSpan(cpuCores, cpuLimit),
};

const memoryColumn: Column = {
  title: "MEM",
  width: 5,
  side: "right",
  sort: "memory",
  cell: ({ memoryBytes, memoryLimit }) =>
    memoryBytes === undefined ? span("") : span(compactSize(memoryBytes), limitInk(memoryBytes, memoryLimit)),
};

const memoryShareColumn: Column = {
  title: "%",
  width: 4,
  side: "right",
  cell: ({ memoryBytes, memoryLimit }) => shareSpan(memoryBytes, memoryLimit),
};

const gpuColumn: Column = {
  title: "GPU",
  width: 4,
  side: "right",
  cell: ({ gpu }) => span(gpu?.utilization === undefined ? "" : compactShare(gpu.utilization)),
};

const gpuMemoryColumn: Column = {
  title: "GMEM",
  width: 5,
  side: "right",
  cell: ({ gpu }) => span(gpu === undefined ? "" : compactSize(gpu.memoryBytes)),
};

/** Bar, share and time left: `███▌ 42% 12m30s`. */
function progressColumn(bar: number): Column {
  const width = bar + 1 + 4 + 1 + 6;
  return {
    title: "PROGRESS    LEFT".length <= width ? `${"PROGRESS".padEnd(width - 4)}LEFT` : "PROGRESS",
    width,
    side: "left",
    sort: "progress",
    cell: ({ progress, points, state }, { nowMs, ascii }) => {
      if (progress === undefined) return span("");
      const share = `${progressBar(progress.fraction, bar, { ascii })} ${compactShare(progress.fraction).padStart(4)}`;
      const left = isEnded(state) || state === JobState.PAUSED ? undefined : timeLeft(points, nowMs);
      const text = left === undefined || left === 0 ? "" : compactDuration(left);
      return span(`${share} ${text.padStart(6)}`, isEnded(state) ? "dim" : "cyan");
    },
  };
}

function noteColumn(width: number): Column {
  return { title: "NOTE", width, side: "left", cell: ({ progress }) => span(progress?.note ?? "") };
}

const timeColumn: Column = {
  title: "TIME",
  width: 6,
  side: "right",
  sort: "age",
  cell: ({ startMs, endMs, createMs }, { nowMs }) =>
    startMs === undefined
      ? span(compactDuration((endMs ?? nowMs) - createMs), "dim")
      : span(compactDuration((endMs ?? nowMs) - startMs)),
};

/** Time since the last message of the agent; `away` if it has no stream. */
function heardColumn(roomy: boolean): Column {
  return {
    title: "HEARD",
    width: roomy ? 11 : 5,
    side: "right",
    sort: "heard",
    cell: ({ state, attempt, connected, heardMs }, { nowMs }) => {
      if (attempt === 0 || isEnded(state) || state === JobState.PENDING) return span("");
      const age = heardMs === undefined ? "" : compactAge(nowMs - heardMs);
      if (connected) return span(age);
      return span(roomy ? `away ${age}`.trim() : "away", "yellow");
    },
  };
}

function hostColumn(width: number): Column {
  return { title: "HOST", width, side: "left", cell: ({ host }) => span(host) };
}

function logColumn(width: number): Column {
  return {
    title: "LAST LINE",
    width,
    side: "left",
    cell: (row, context) => {
      if (row.state === JobState.FAILED) return span(row.remark, "red");
      if (row.remark !== "") return span(row.remark, remarkInk(row));
      return span(cutText(context.lastLine(row), width));
    },
  };
}

function remarkInk({ state, unwell }: JobRow): Ink {
  if (state === JobState.LOST) return "red";
  return unwell ? "yellow" : "dim";
}

function longest(rows: readonly JobRow[], text: (row: JobRow) => string, least: number, most: number): number {
  let found = least;
  for (const row of rows) {
    if (found >= most) return most;
    found = Math.max(found, Math.min(most, textWidth(text(row))));
  }
  return found;
}

function stateInk(state: JobState): Ink {
  switch (state) {
    case JobState.SUCCEEDED:
    case JobState.RUNNING:
      return "green";
    case JobState.FAILED:
    case JobState.LOST:
      return "red";
    case JobState.CANCELED:
    case JobState.CANCELING:
    case JobState.PAUSED:
      return "yellow";
    case JobState.PENDING:
      return "dim";
    default:
      return "cyan";
  }
}

function shareSpan(used: number | undefined, limit: number): Span {
  return used === undefined || limit === 0 ? span("") : span(compactShare(used / limit), limitInk(used, limit));
}

function limitInk(used: number, limit: number): Ink {
  return limit > 0 && used >= NEARLY_ALL * limit ? "yellow" : "plain";
}

import { describe, expect, test } from "vitest";
import { textWidth } from "../../../src/cli/terminal/text-width.ts";
import { columnsFor } from "../../../src/cli/top/columns.ts";
import { footerLine } from "../../../src/cli/top/footer.ts";
import type { Totals } from "../../../src/cli/top/job-set.ts";
import type { Line } from "../../../src/cli/terminal/line.ts";
import { line, lineText, span } from "../../../src/cli/terminal/line.ts";
import type { LinkState } from "../../../src/cli/top/link-state.ts";
import type { JobRow } from "../../../src/cli/top/row.ts";
import type { Ui } from "../../../src/cli/top/ui.ts";
import { newUi } from "../../../src/cli/top/ui.ts";
import type { TableFacts } from "../../../src/cli/top/view.ts";
import { pagerPicture, tablePicture, topFor } from "../../../src/cli/top/view.ts";
import { JobState } from "../../../src/gen/belay/v1/job_pb.ts";
import { NOON, someRow } from "./some-row.ts";

const CONNECTED: LinkState = { outage: undefined, synced: true, answeredMs: NOON };
const ROWS: readonly JobRow[] = [
  someRow({
    jobId: "train-17",
    name: "resnet",
    cpuCores: 3.9,
    cpuLimit: 4,
    memoryBytes: 1.5 * 2 ** 30,
    memoryLimit: 4 * 2 ** 30,
    gpu: { count: 1, utilization: 0.97, memoryBytes: 30 * 2 ** 30 },
    progress: { fraction: 0.25, note: "epoch 1/4" },
    points: [
      { atMs: NOON - 60_000, fraction: 0 },
      { atMs: NOON - 30_000, fraction: 0.125 },
      { atMs: NOON, fraction: 0.25 },
    ],
  }),
  someRow({
    jobId: "etl-3",
    state: JobState.LOST,
    connected: false,
    heardMs: NOON - 70_000,
    remark: "agent not responding",
  }),
  someRow({
    jobId: "later",
    state: JobState.PENDING,
    attempt: 0,
    startMs: undefined,
    heardMs: undefined,
    host: "",
    remark: "waits for an agent",
  }),
];

function facts(fields: Partial<TableFacts> = {}): TableFacts {
  const states = new Map([JobState.RUNNING, JobState.LOST, JobState.PENDING].map((state) => [state, 1]));
  const totals: Totals = { live: 3, states, cpuCores: 3.9, memoryBytes: 1.5 * 2 ** 30, gpus: 1 };
  return {
    tracker: "http://t:7070",
    link: CONNECTED,
    totals,
    ui: newUi("cpu", false),
    rows: ROWS,
    selected: "train-17",
    top: 0,
    stale: false,
    intervalMs: 2_000,
    nowMs: NOON,
    ascii: false,
    lastLine: ({ jobId }) => (jobId === "train-17" ? "loss=0.31" : ""),
    ...fields,
  };
}

function texts(lines: readonly Line[]): string[] {
  return lines.map(lineText);
}

const CLOCK = new Date(NOON).toTimeString().slice(0, 8);

describe("The table", () => {
  test("on 80 columns", () => {
    expect(texts(tablePicture(facts(), { columns: 80, rows: 8 }).lines)).toEqual([
      `belay top  http://t:7070  connected                                     ${CLOCK}`,
      "3 jobs: 1 running, 1 pending, 1 lost            cpu 3.90 cores  mem 1.5G  gpus 1",
      "JOB      STATE      CPU↓   MEM  GPU PROGRESS    LEFT   TIME HEARD LAST LINE",
      "train-17 RUNNING    3.90  1.5G  97% █░░░  25%  3m00s  1m00s    2s loss=0.31",
      "etl-3    LOST                                         1m00s  away agent not res…",
      "later    PENDING                                      1m01s       waits for an …",
      "",
      "? help  l log  i info  c cancel  s sort  / filter  a ended  q quit             3",
    ]);
  });

  test("on 180 columns", () => {
    expect(texts(tablePicture(facts(), { columns: 180, rows: 7 }).lines).slice(2, 6)).toEqual([
      "JOB      NAME     STATE       CPU↓    %   MEM    %  GPU  GMEM PROGRESS            LEFT NOTE        TIME       HEARD HOST     LAST LINE",
      "train-17 resnet   RUNNING     3.90  98%  1.5G  38%  97% 30.0G ███░░░░░░░░░  25%  3m00s epoch 1/4  1m00s          2s worker-1 loss=0.31",
      "etl-3             LOST                                                                            1m00s  away 1m10s worker-1 agent not responding",
      "later             PENDING                                                                         1m01s                      waits for an agent",
    ]);
  });

  test.each([20, 40, 79, 80, 99, 100, 119, 139, 169, 200, 300])("fits %i columns", (columns) => {
    const { lines } = tablePicture(facts(), { columns, rows: 12 });
    expect(lines).toHaveLength(12);
    for (const one of lines.slice(2, 7)) expect(textWidth(lineText(one))).toBeLessThanOrEqual(columns);
  });

  test("marks the selected job, and shows its position in the list", () => {
    const rows = Array.from({ length: 50 }, (_, i) => someRow({ jobId: `j${i}` }));
    const { lines, first } = tablePicture(facts({ rows, selected: "j12", top: 10 }), { columns: 80, rows: 9 });
    expect(lines.flatMap(({ reversed }, i) => (reversed === true ? [i] : []))).toEqual([5]);
    expect(lineText(lines.at(-1) ?? line())).toMatch(/11-15 of 50$/);
    expect(first).toContain(5);
  });

  test("says since when and why the tracker is away, and when the next attempt is; rows are stale", () => {
    const link = {
      ...CONNECTED,
      outage: {
        sinceMs: NOON - 12_000,
        nextMs: NOON + 1_500,
        why: "Cannot reach the tracker at http://t:7070: connection refused",
      },
    };
    const { lines } = tablePicture(facts({ link, stale: true }), { columns: 110, rows: 8 });
    expect(lineText(lines[0] ?? line())).toMatch(/ {2}AWAY for 12s, next try in 2s: connection refused +/);
    expect(lineText(lines[1] ?? line())).toContain(`1 lost  stale, as of ${CLOCK}`);
    expect(lines[3]?.spans.every(({ ink }) => ink === "dim")).toBe(true);
  });

  test("says that a connected tracker does not answer", () => {
    const link = { ...CONNECTED, answeredMs: NOON - 9_000 };
    expect(texts(tablePicture(facts({ link }), { columns: 80, rows: 8 }).lines)[0]).toContain("NO ANSWER for 9s");
  });

  test("says what to do when there is no job", () => {
    const empty = { rows: [], totals: { live: 0, states: new Map(), cpuCores: 0, memoryBytes: 0, gpus: 0 } };
    const { lines } = tablePicture(facts(empty), { columns: 100, rows: 8 });
    expect(texts(lines).slice(1, 5)).toEqual([
      "0 jobs",
      expect.stringMatching(/^JOB/),
      "",
      "No job is running or waiting. Run one: belay run -- COMMAND; a shows ended jobs.",
    ]);
  });

  test("has no more lines than the screen, however small, and keeps the last line", () => {
    const { lines } = tablePicture(facts(), { columns: 80, rows: 6 });
    expect(lines).toHaveLength(6);
    expect(lineText(lines[5] ?? line())).toMatch(/^\? help/);
  });
});

describe("The screen scrolls as little as possible", () => {
  test.each([
    ["the selected one is there", 5, 7, 50, 10, 5],
    ["it is above", 5, 2, 50, 10, 2],
    ["it is below", 5, 20, 50, 10, 11],
    ["there are fewer rows than before", 45, 11, 12, 10, 2],
    ["all fit", 3, 1, 4, 10, 0],
  ])("%s", (_, top, at, count, page, expected) => {
    expect(topFor(top, at, count, page)).toBe(expected);
  });
});

describe("The last line", () => {
  const ui = (fields: Partial<Ui>): Ui => ({ ...newUi("cpu", false), ...fields });
  test.each<[string, Partial<Ui>, string]>([
    [
      "asks",
      { mode: { kind: "cancel", jobId: "j1" } },
      "Cancel j1, all its processes?  y yes  r yes, with a reason  n no",
    ],
    [
      "takes a reason",
      { mode: { kind: "reason", jobId: "j1", text: "why" } },
      "Reason to cancel j1: why_   Enter cancels the job, Esc goes back",
    ],
    [
      "takes a filter",
      { mode: { kind: "filter", before: "" }, filter: "x" },
      "Filter: x_   part of id, name, state, host; or label=value",
    ],
    [
      "offers what to sort by",
      { mode: { kind: "sort" } },
      "Sort by  cpu  memory  age  state  name  progress  heard  reverse",
    ],
    ["says what came of an order", { message: "cancel is on its way to j1" }, "cancel is on its way to j1"],
  ])("%s", (_, fields, text) => {
    expect(lineText(footerLine(ui(fields), "", 80))).toBe(text);
  });
});

test("has a column of attempts only where a job may have several", () => {
  const titles = (rows: readonly JobRow[]): string[] => columnsFor(120, rows).map(({ title }) => title);
  expect(titles(ROWS)).not.toContain("ATTEMPT");
  expect(titles([...ROWS, someRow({ attempts: "2/5" })])).toContain("ATTEMPT");
});

test("A text on the whole screen is shown from its position, shifted, with a mark where lines go on", () => {
  const all = ["one", "two", "a long line that goes on and on", "four"].map((text) => line(text));
  const text = { first: 0, count: 4, slice: (from: number, to: number) => all.slice(from, to) };
  const shown = (top: number | undefined, shift: number): string[] =>
    texts(
      pagerPicture({ title: [span("t")], text, place: { top, shift }, footer: line("keys") }, { columns: 10, rows: 5 })
        .lines,
    );
  expect(shown(0, 0)).toEqual(["t", "one", "two", "a long li…", "keys"]);
  expect(shown(undefined, 0)).toEqual(["t", "two", "a long li…", "four", "keys"]);
  expect(shown(9, 20)).toEqual(["t", "", "s on and …", "", "keys"]);
});

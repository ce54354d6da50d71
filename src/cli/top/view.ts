import type { Size } from "../terminal/terminal.ts";
import { cutText, glyphs, textWidth } from "../terminal/text-width.ts";
import type { CellContext, Column } from "./columns.ts";
import { cellsOfRow, columnsFor } from "./columns.ts";
import { footerLine } from "./footer.ts";
import type { HeaderFacts } from "./header.ts";
import { headerLines } from "./header.ts";
import { helpLines } from "./help.ts";
import type { Line, Span } from "../terminal/line.ts";
import { line, span } from "../terminal/line.ts";
import type { JobRow } from "./row.ts";
import type { Place } from "./ui.ts";

/** A picture of the whole screen, line by line. */
export interface Picture {
  readonly lines: readonly Line[];
  /** Numbers of the lines that the user waits for after a key. */
  readonly first: readonly number[];
}

/** What the table shows. */
export interface TableFacts extends Omit<HeaderFacts, "shown">, CellContext {
  /** Filtered and in order. */
  readonly rows: readonly JobRow[];
  readonly selected: string | undefined;
  /** Number of the first row on the screen. */
  readonly top: number;
  /** Whether the rows may be out of date. */
  readonly stale: boolean;
}

/** Lines around the table's rows: two of the header, one of titles, the last. */
const FRAME_ROWS = 4;

/** How many rows of the table fit on a screen. */
export function pageOf({ rows }: Size): number {
  return Math.max(1, rows - FRAME_ROWS);
}

/** The first row to show so that the selected one is on the screen, moved as little as possible. */
export function topFor(top: number, at: number, count: number, page: number): number {
  const low = Math.max(0, at - page + 1);
  return Math.max(0, Math.min(Math.max(Math.min(top, at), low), count - page));
}

/** The table with its header, on a screen of that size. */
export function tablePicture(facts: TableFacts, size: Size): Picture {
  const { rows, selected, ui } = facts;
  const page = pageOf(size);
  const columns = columnsFor(size.columns, rows);
  const body = ui.mode.kind === "help" ? helpLines().slice(0, page) : bodyLines(facts, columns, page, size);
  const titles = ui.mode.kind === "help" ? line() : titleLine(columns, facts);
  const blank = Array.from({ length: Math.max(0, page - body.length) }, () => line());
  const last = Math.min(facts.top + page, rows.length);
  const where =
    rows.length === 0 ? "" : rows.length <= page ? String(rows.length) : `${facts.top + 1}-${last} of ${rows.length}`;
  const header = headerLines({ ...facts, shown: rows.length }, size.columns);
  const lines = [...header, titles, ...body, ...blank, footerLine(ui, where, size.columns)];
  const at = rows.findIndex(({ jobId }) => jobId === selected) - facts.top + header.length + 1;
  return { lines: fitRows(lines, size.rows), first: [size.rows - 1, at, at - 1, at + 1] };
}

function bodyLines(facts: TableFacts, columns: readonly Column[], page: number, size: Size): Line[] {
  const { rows, selected, top, stale } = facts;
  if (rows.length === 0) return [line(), line(span(cutText(emptyText(facts), size.columns), "dim"))];
  return rows.slice(top, top + page).map((row) => {
    const spans = cellsOfRow(row, columns, facts);
    return { spans: stale ? spans.map(({ text }) => span(text, "dim")) : spans, reversed: row.jobId === selected };
  });
}

function emptyText({ ui, link, totals }: TableFacts): string {
  if (!link.synced) return "";
  if (ui.filter.trim() !== "" && totals.live > 0) return "No job matches the filter; Esc clears it.";
  if (ui.showEnded) return "No jobs. Run one: belay run -- COMMAND";
  return "No job is running or waiting. Run one: belay run -- COMMAND; a shows ended jobs.";
}

function titleLine(columns: readonly Column[], { ui }: TableFacts): Line {
  const spans = columns.flatMap(({ title, width, side, sort }, i): Span[] => {
    const chosen = sort !== undefined && sort === ui.sort;
    const marked = !chosen ? title : title.length < width ? `${title}${ui.reverse ? "↑" : "↓"}` : title;
    const text = side === "left" ? marked.padEnd(width) : marked.padStart(width);
    return [...(i === 0 ? [] : [span(" ")]), span(text.slice(0, width), chosen ? "bold" : "dim")];
  });
  return { spans };
}

/** A text whose beginning may have been dropped. */
export interface PagerText {
  /** Number of the first line that is kept. */
  readonly first: number;
  /** How many lines are kept. */
  readonly count: number;
  /** Some of the kept lines, counted from 0. */
  slice(from: number, to: number): readonly Line[];
}

/** What a pager shows. */
export interface PagerFacts {
  readonly title: readonly Span[];
  readonly text: PagerText;
  readonly place: Place;
  readonly footer: Line;
}

/** How many lines of a text fit on a screen. */
export function pagerPage({ rows }: Size): number {
  return Math.max(1, rows - 2);
}

/** A text on the whole screen. */
export function pagerPicture({ title, text, place, footer }: PagerFacts, size: Size): Picture {
  const page = pagerPage(size);
  const at = pagerTop(text, place, page);
  const body = text.slice(at, at + page).map((one) => shifted(one, place.shift, size.columns));
  const blank = Array.from({ length: page - body.length }, () => line());
  return {
    lines: fitRows([{ spans: title, reversed: true }, ...body, ...blank, footer], size.rows),
    first: [size.rows - 1],
  };
}

/** The index of the line at the top among the kept lines. */
export function pagerTop(text: Pick<PagerText, "first" | "count">, place: Place, page: number): number {
  const last = Math.max(0, text.count - page);
  return place.top === undefined ? last : Math.min(last, Math.max(0, place.top - text.first));
}

/** A line, starting at a column, with `…` at the right edge if it continues there. */
function shifted(one: Line, shift: number, columns: number): Line {
  const width = one.spans.reduce((sum, { text }) => sum + textWidth(text), 0);
  if (shift === 0 && width <= columns) return one;
  let skip = shift;
  let room = width - shift > columns ? columns - 1 : columns;
  const spans: Span[] = [];
  for (const { text, ink } of one.spans) {
    let kept = "";
    for (const glyph of glyphs(text)) {
      if (skip > 0) {
        skip -= glyph.width;
        continue;
      }
      if (glyph.width > room) break;
      kept += glyph.text;
      room -= glyph.width;
    }
    spans.push(span(kept, ink));
  }
  return { spans: width - shift > columns ? [...spans, span("…", "dim")] : spans };
}

/** Cuts or fills to exactly `rows` lines; the last line stays. */
function fitRows(lines: readonly Line[], rows: number): readonly Line[] {
  return lines.length <= rows ? lines : [...lines.slice(0, rows - 1), lines.at(-1) ?? line()];
}

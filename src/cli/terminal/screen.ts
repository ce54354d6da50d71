import type { Cell, Capabilities } from "./cells.ts";
import { BLANK, cellsOf, REVERSED, sameCell } from "./cells.ts";
import type { Line } from "./line.ts";

/** Up to this many unchanged columns between two changes are sent again: cheaper than moving the cursor. */
const BRIDGE = 6;

const CLEAR = "\u001b[m\u001b[H\u001b[2J";

/**
 * Remembers what the terminal shows, and computes what to send so that it shows something else.
 *
 * Law: when everything that `paint` returned has been sent, the terminal shows the lines of the last call, except those
 * that its limit left out; another call with the same lines returns these.
 */
export class Screen {
  private readonly capabilities: Capabilities;
  private columns: number;
  private rows: number;
  /** The lines that the terminal shows; further lines are blank. */
  private shown: (readonly Cell[])[] = [];
  /** Whether it is unknown what the terminal shows. */
  private unknown = true;
  /** The line that has waited longest to be drawn. */
  private next = 0;

  constructor(columns: number, rows: number, capabilities: Capabilities) {
    this.capabilities = capabilities;
    this.columns = columns;
    this.rows = rows;
  }

  /** Must be called when the terminal's size has changed or its contents are unknown: everything is drawn again. */
  reset(columns: number = this.columns, rows: number = this.rows): void {
    this.columns = columns;
    this.rows = rows;
    this.unknown = true;
  }

  /**
   * Returns control sequences and text that change the screen into these lines.
   *
   * @param first numbers of the lines that are sent first if there is not room for all: those that the user waits for
   * @param limit characters after which no further line is begun; the next call returns the rest, the line that has
   * waited longest first
   */
  paint(
    lines: readonly Line[],
    first: readonly number[] = [],
    limit: number = Infinity,
  ): { out: string; whole: boolean } {
    let out = "";
    if (this.unknown) {
      this.unknown = false;
      this.shown = [];
      this.next = 0;
      out = CLEAR;
    }
    const turn = Array.from({ length: this.rows }, (_, i) => (this.next + i) % this.rows);
    for (const row of new Set([...first.filter((row) => row >= 0 && row < this.rows), ...turn])) {
      const cells = cellsOf(lines[row] ?? { spans: [] }, this.columns, this.capabilities);
      const change = lineChange(this.shown[row] ?? [], cells, row);
      if (change === "") continue;
      if (out.length >= limit) {
        this.next = row;
        return { out, whole: false };
      }
      out += change;
      this.shown[row] = cells;
    }
    this.next = 0;
    return { out, whole: true };
  }
}

/** Control sequences and text that change one line into the wanted one. */
function lineChange(before: readonly Cell[], wanted: readonly Cell[], row: number): string {
  let out = "";
  let at = 0;
  while (at < wanted.length) {
    if (sameAt(before, wanted, at)) {
      at++;
      continue;
    }
    const from = wanted[at]?.text === "" ? at - 1 : at;
    let to = at + 1;
    // Goes on over short unchanged stretches.
    for (let ahead = to; ahead < wanted.length && ahead - to < BRIDGE; ahead++) {
      if (!sameAt(before, wanted, ahead)) to = ahead + 1;
    }
    while (wanted[to]?.text === "") to++;
    out += moveTo(row, from) + run(wanted, from, to);
    at = to;
  }
  if (before.length > wanted.length) out += `${moveTo(row, wanted.length)}\u001b[K`;
  return out;
}

function sameAt(before: readonly Cell[], wanted: readonly Cell[], at: number): boolean {
  return sameCell(before[at] ?? BLANK, wanted[at] ?? BLANK);
}

/** Draws some columns of a line. The cursor must be at the first; colours are off before and after. */
function run(cells: readonly Cell[], from: number, to: number): string {
  let out = "";
  let style = "";
  let isColumnUncertain = false;
  for (let at = from; at < to; at++) {
    const cell = cells[at] ?? BLANK;
    if (cell.text === "") continue;
    // Terminals disagree about the width of some characters; the rest of the line must not shift.
    if (isColumnUncertain && !cell.hasUncertainWidth) out += `\u001b[${at + 1}G`;
    isColumnUncertain = cell.hasUncertainWidth;
    // A blank looks the same in any colour.
    const differs = cell.style !== style && (cell !== BLANK || style === REVERSED);
    if (differs) {
      out += cell.style === "" ? "\u001b[m" : `\u001b[${style === "" ? "" : "0;"}${cell.style}m`;
      style = cell.style;
    }
    out += cell.text;
  }
  return style === "" ? out : `${out}\u001b[m`;
}

function moveTo(row: number, column: number): string {
  return column === 0 ? `\u001b[${row + 1}H` : `\u001b[${row + 1};${column + 1}H`;
}

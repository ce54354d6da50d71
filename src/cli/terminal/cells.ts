import { glyphs } from "./text-width.ts";
import type { Ink, Line } from "./line.ts";

/** One column of one line of the screen. */
export interface Cell {
  /** The character. `""`: the second column of the character before. */
  readonly text: string;
  /** Parameters of SGR, such as `1;31`. `""`: none. */
  readonly style: string;
  /** Whether the terminal may draw the character wider or narrower than we assume. */
  readonly hasUncertainWidth: boolean;
}

/** How the terminal can draw. */
export interface Capabilities {
  readonly color: boolean;
  /** Only ASCII. */
  readonly ascii: boolean;
}

/** An empty column. */
export const BLANK: Cell = { text: " ", style: "", hasUncertainWidth: false };

const SGR: Readonly<Record<Ink, string>> = {
  plain: "",
  bold: "1",
  dim: "2",
  red: "31",
  green: "32",
  yellow: "33",
  cyan: "36",
  alarm: "1;31",
};
/** Styles without colours (https://no-color.org): bold, dim and reversed stay. */
const SGR_PLAIN: Readonly<Record<Ink, string>> = {
  ...SGR,
  red: "",
  green: "",
  yellow: "",
  cyan: "",
  alarm: "1",
};
/** Style of a line that is reversed. */
export const REVERSED = "7";
const REVERSED_BLANK: Cell = { text: " ", style: REVERSED, hasUncertainWidth: false };

/** The columns of a line, at most `columns`, without blanks at the end. */
export function cellsOf(line: Line, columns: number, capabilities: Capabilities): Cell[] {
  const cells: Cell[] = [];
  const styles = capabilities.color ? SGR : SGR_PLAIN;
  for (const { text, ink } of line.spans) {
    const style = line.reversed === true ? REVERSED : styles[ink];
    for (const glyph of glyphs(text)) {
      // A combining mark without a character before it is not shown.
      if (glyph.width === 0) continue;
      if (cells.length + glyph.width > columns) break;
      if (capabilities.ascii) pushAscii(cells, glyph.text, glyph.width, style);
      // A blank has no colour, unless it is reversed.
      else if (glyph.text === " ") cells.push(line.reversed === true ? REVERSED_BLANK : BLANK);
      else {
        cells.push({ text: glyph.text, style, hasUncertainWidth: glyph.width > 1 || glyph.text.length > 1 });
        if (glyph.width > 1) cells.push({ text: "", style, hasUncertainWidth: false });
      }
    }
  }
  if (line.reversed === true) {
    while (cells.length < columns) cells.push(REVERSED_BLANK);
    return cells;
  }
  while (isBlank(cells.at(-1))) cells.pop();
  return cells;
}

/** Whether two columns look the same. */
export function sameCell(a: Cell, b: Cell): boolean {
  return a.text === b.text && a.style === b.style;
}

function isBlank(cell: Cell | undefined): boolean {
  return cell !== undefined && sameCell(cell, BLANK);
}

function pushAscii(cells: Cell[], text: string, width: number, style: string): void {
  const shown = text >= " " && text <= "~" ? text : (ASCII[text] ?? "?");
  for (let i = 0; i < width; i++) cells.push({ text: shown, style, hasUncertainWidth: false });
}

/** Replacements for the signs that Belay itself draws, on terminals that have only ASCII. */
const ASCII: Readonly<Record<string, string>> = { "…": "~", "↑": "^", "↓": "v", "·": "-" };

import { textWidth } from "./text-width.ts";

/** How a piece of text is highlighted. A screen without colours shows some of these as plain text. */
export type Ink = "plain" | "bold" | "dim" | "red" | "green" | "yellow" | "cyan" | "alarm";

/** A piece of a line. Its text has no control characters. */
export interface Span {
  readonly text: string;
  readonly ink: Ink;
}

/** A line of the screen. Columns after its text are blank. */
export interface Line {
  readonly spans: readonly Span[];
  /** Shown reversed, over the whole width. */
  readonly reversed?: boolean;
}

/** A piece of text. */
export function span(text: string, ink: Ink = "plain"): Span {
  return { text, ink };
}

/** A line of pieces; strings are plain. */
export function line(...pieces: readonly (Span | string)[]): Line {
  return { spans: pieces.map((piece) => (typeof piece === "string" ? span(piece) : piece)) };
}

/** A line with one part at each edge; the left part is cut to the room that is left. */
export function edges(left: readonly Span[], right: readonly Span[], columns: number): Line {
  const rightWidth = widthOfSpans(right);
  const room = columns - rightWidth - (rightWidth > 0 ? 1 : 0);
  if (room < columns / 3) return { spans: left };
  const spans: Span[] = [];
  let used = 0;
  for (const piece of left) {
    const width = textWidth(piece.text);
    if (used + width > room) break;
    spans.push(piece);
    used += width;
  }
  return { spans: [...spans, span(" ".repeat(columns - used - rightWidth)), ...right] };
}

/** Width of pieces together, in columns. */
export function widthOfSpans(spans: readonly Span[]): number {
  return spans.reduce((width, { text }) => width + textWidth(text), 0);
}

/** A line as text, without blanks at its end. */
export function lineText({ spans }: Line): string {
  return spans
    .map(({ text }) => text)
    .join("")
    .trimEnd();
}

import type { Output } from "../process/io.ts";
import { widthOf } from "./text-width.ts";

/** A text on a terminal that is redrawn in the same place. */
export class InPlace {
  private readonly output: Output;
  private drawn: readonly string[] = [];
  /** Size of the terminal when the text was drawn. */
  private size = { columns: 0, rows: 0 };

  constructor(output: Output) {
    this.output = output;
  }

  /**
   * Draws lines, each with its newline, over what was drawn before. Lines that do not fit the terminal are left out.
   */
  async draw(text: string): Promise<void> {
    const { columns, rows } = this.output;
    const lines = text.split("\n").slice(0, -1);
    // The cursor is on the line after the last.
    const shown = lines.length < rows ? lines : [...lines.slice(0, Math.max(1, rows - 2)), "…"];
    const up = this.drawn.reduce((sum, line) => sum + Math.max(1, Math.ceil(widthOf(line) / columns)), 0);
    // A terminal whose size changed has wrapped the lines again, or moved some out of sight and perhaps back, at an
    // unknown moment: only clearing everything is safe.
    const isResized = this.size.columns !== columns || this.size.rows !== rows;
    const start = isResized && up > 0 ? "\u001b[H\u001b[2J" : up === 0 ? "" : `\u001b[${Math.min(up, rows - 1)}F`;
    this.drawn = shown;
    this.size = { columns, rows };
    await this.output.write(`${start}${shown.map((line) => `${line}\u001b[K\n`).join("")}\u001b[J`);
  }

  /** Must be called when something else was written: the next text is drawn below it. */
  forget(): void {
    this.drawn = [];
  }
}

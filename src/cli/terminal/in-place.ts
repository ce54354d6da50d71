import type { Output } from "../io.ts";
import { widthOf } from "./text-width.ts";

/** A text on a terminal that is drawn again in the same place. */
export class InPlace {
  private readonly output: Output;
  private drawn: readonly string[] = [];
  /** Of the terminal when it was drawn. */
  private columns = 0;

  constructor(output: Output) {
    this.output = output;
  }

  /** Draws lines, each with its newline, over what was drawn before. What is too much for the terminal is left out. */
  async draw(text: string): Promise<void> {
    const { columns, rows } = this.output;
    const lines = text.split("\n").slice(0, -1);
    // The cursor stands on the line after the last.
    const shown = lines.length < rows ? lines : [...lines.slice(0, Math.max(1, rows - 2)), "…"];
    const up = this.drawn.reduce((sum, line) => sum + Math.max(1, Math.ceil(widthOf(line) / columns)), 0);
    // A terminal of another width has broken the lines anew, at a moment that nobody knows: only all of it is sure.
    const start =
      this.columns !== columns && up > 0 ? "\u001b[H\u001b[2J" : up === 0 ? "" : `\u001b[${Math.min(up, rows - 1)}F`;
    this.drawn = shown;
    this.columns = columns;
    await this.output.write(`${start}${shown.map((line) => `${line}\u001b[K\n`).join("")}\u001b[J`);
  }

  /** Something else was written: what is drawn next comes below it. */
  forget(): void {
    this.drawn = [];
  }
}

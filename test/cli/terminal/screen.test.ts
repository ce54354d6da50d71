import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { glyphs, textWidth } from "../../../src/cli/terminal/text-width.ts";
import type { Ink, Line } from "../../../src/cli/terminal/line.ts";
import { line, lineText, span } from "../../../src/cli/terminal/line.ts";
import { Screen } from "../../../src/cli/terminal/screen.ts";

/** A terminal that knows what Screen sends, and nothing else. */
class Emulator {
  private readonly cells: { text: string; style: string }[][];
  private readonly columns: number;
  private row = 0;
  private column = 0;
  private style = "";

  constructor(columns: number, rows: number) {
    this.columns = columns;
    this.cells = Array.from({ length: rows }, () => this.blanks());
  }

  private blanks(): { text: string; style: string }[] {
    return Array.from({ length: this.columns }, () => ({ text: " ", style: "" }));
  }

  write(out: string): void {
    // eslint-disable-next-line no-control-regex
    for (const [part, parameters, final] of out.matchAll(/\u001b\[([\d;]*)([A-Za-z])|[^\u001b]+/g)) {
      const numbers = (parameters ?? "").split(";").map(Number);
      if (final === "H") [this.row, this.column] = [(numbers[0] || 1) - 1, (numbers[1] || 1) - 1];
      else if (final === "G") this.column = (numbers[0] || 1) - 1;
      else if (final === "J") this.cells.forEach((_, i) => (this.cells[i] = this.blanks()));
      else if (final === "K") this.cells[this.row]?.fill({ text: " ", style: "" }, this.column);
      else if (final === "m") this.style = numbers[0] === 0 ? numbers.slice(1).join(";") : numbers.join(";");
      else if (final === undefined) this.print(part);
      else throw new Error(`Unknown sequence ${JSON.stringify(part)}`);
    }
  }

  private print(text: string): void {
    for (const glyph of glyphs(text)) {
      const cells = this.cells[this.row] ?? [];
      // Half of a wide character is no character.
      if (cells[this.column]?.text === "") cells[this.column - 1] = { text: " ", style: "" };
      const end = this.column + glyph.width;
      if (cells[end]?.text === "") cells[end] = { text: " ", style: "" };
      cells[this.column] = { text: glyph.text, style: glyph.text === " " && this.style !== "7" ? "" : this.style };
      if (glyph.width === 2) cells[this.column + 1] = { text: "", style: this.style };
      this.column = end;
      if (this.column > this.columns) throw new Error("Written beyond the edge");
    }
  }

  get text(): string[] {
    return this.cells.map((cells) =>
      cells
        .map(({ text }) => text)
        .join("")
        .trimEnd(),
    );
  }

  styleAt(row: number, column: number): string | undefined {
    return this.cells[row]?.[column]?.style;
  }
}

const COLOR = { color: true, ascii: false };

describe("The terminal shows the requested lines", () => {
  const text = fc.string({ unit: fc.constantFrom("a", "b", " ", "流", "🚀", "é", "▌"), maxLength: 8 });
  const ink = fc.constantFrom<Ink>("plain", "bold", "red");
  const anyLine = fc.record({
    spans: fc.array(fc.record({ text, ink }), { maxLength: 3 }),
    reversed: fc.boolean(),
  });
  const frame = fc.array(anyLine, { maxLength: 4 });

  test("after any frames before, of any kind, and with any limit", () => {
    fc.assert(
      fc.property(
        fc.array(frame, { minLength: 1, maxLength: 5 }),
        fc.integer({ min: 1, max: 200 }),
        (frames, limit) => {
          const screen = new Screen(10, 4, COLOR);
          const terminal = new Emulator(10, 4);
          for (const lines of frames.slice(0, -1)) terminal.write(screen.paint(lines, [3], limit).out);
          const last = frames.at(-1) ?? [];
          let calls = 0;
          for (;;) {
            const { out, whole } = screen.paint(last, [], limit);
            terminal.write(out);
            if (whole) break;
            expect(++calls).toBeLessThan(10);
          }
          expect(terminal.text).toEqual(Array.from({ length: 4 }, (_, row) => shownText(last[row], 10)));
          expect(screen.paint(last)).toEqual({ out: "", whole: true });
        },
      ),
    );
  });

  /** What fits of a line. */
  function shownText(one: Line | undefined, columns: number): string {
    let shown = "";
    for (const { text } of one?.spans ?? []) {
      for (const glyph of glyphs(text)) {
        if (textWidth(shown) + glyph.width > columns) break;
        shown += glyph.text;
      }
    }
    return shown.trimEnd();
  }
});

test("Only what has changed is sent", () => {
  const screen = new Screen(80, 2, COLOR);
  const text = (seconds: number): Line[] => [line("train-17  RUNNING  ", span(`${seconds}s`, "dim"), "  loss=0.3")];
  screen.paint(text(1));
  expect(screen.paint(text(2)).out).toBe("\u001b[1;20H\u001b[2m2\u001b[m");
});

test("A line that the user waits for is sent first, and the others take turns", () => {
  const screen = new Screen(10, 4, COLOR);
  const lines = (text: string): Line[] => [line(`a${text}`), line(`b${text}`), line(`c${text}`), line(`d${text}`)];
  screen.paint(lines("0"));
  const sent = (text: string): string[] => {
    const { out } = screen.paint(lines(text), [3], 1);
    // eslint-disable-next-line no-control-regex
    return [...out.matchAll(/\u001b\[(\d+)(?:;\d+)?H/g)].map(([, row]) => row ?? "");
  };
  expect([sent("1"), sent("1"), sent("1"), sent("2"), sent("2")]).toEqual([["4"], ["1"], ["2"], ["4"], ["3"]]);
});

test("A character of uncertain width does not shift what follows it", () => {
  expect(new Screen(10, 1, COLOR).paint([line("a流体b")]).out).toContain("流体\u001b[6Gb");
});

test("A selected line is reversed over its whole width", () => {
  const terminal = new Emulator(10, 1);
  terminal.write(new Screen(10, 1, COLOR).paint([{ spans: [span("a", "red")], reversed: true }]).out);
  expect([terminal.styleAt(0, 0), terminal.styleAt(0, 9)]).toEqual(["7", "7"]);
});

test("Without colours nothing is coloured; bold and reversed stay", () => {
  const { out } = new Screen(20, 1, { color: false, ascii: false }).paint([line(span("a", "red"), span("b", "bold"))]);
  expect(out).not.toMatch(/3[1-7]/);
  expect(out).toContain("\u001b[1mb");
});

test("A terminal with only ASCII gets only ASCII, of the same width", () => {
  const { out } = new Screen(20, 1, { color: false, ascii: true }).paint([line("CPU↓ 流 x… é")]);
  expect(out).toContain("CPUv ?? x~ ?");
});

test("A line is its text without the blanks at its end", () => {
  expect(lineText(line("a ", span("b", "red"), "  "))).toBe("a b");
});

import { describe, expect, it } from "vitest";
import { InPlace } from "../../../src/cli/terminal/in-place.ts";
import { MemoryOutput } from "../memory-output.ts";

function terminal(columns: number, rows: number): { output: MemoryOutput; newOutput: () => string } {
  const output = new MemoryOutput();
  output.columns = columns;
  output.rows = rows;
  let taken = 0;
  const newOutput = (): string => {
    const text = Buffer.from(output.text.slice(taken), "latin1").toString("utf8");
    taken = output.text.length;
    return text;
  };
  return { output, newOutput };
}

describe("A text that is redrawn", () => {
  it("replaces the one before completely", async () => {
    const { output, newOutput } = terminal(80, 24);
    const place = new InPlace(output);
    await place.draw("one\ntwo\nthree\n");
    expect(newOutput()).toBe("one\u001b[K\ntwo\u001b[K\nthree\u001b[K\n\u001b[J");
    await place.draw("four\n");
    expect(newOutput()).toBe("\u001b[3Ffour\u001b[K\n\u001b[J");
  });

  it("is cut to the terminal's height, since lines that have scrolled away cannot be redrawn", async () => {
    const { output, newOutput } = terminal(80, 4);
    const place = new InPlace(output);
    await place.draw("1\n2\n3\n4\n5\n");
    expect(newOutput()).toBe("1\u001b[K\n2\u001b[K\n…\u001b[K\n\u001b[J");
  });

  it("starts again when the terminal's width has changed, and below other output", async () => {
    const { output, newOutput } = terminal(20, 24);
    const place = new InPlace(output);
    await place.draw(`${"x".repeat(18)}\n\u001b[1mshort\u001b[0m\n`);
    newOutput();
    output.columns = 10;
    await place.draw("y\n");
    expect(newOutput()).toBe("\u001b[H\u001b[2Jy\u001b[K\n\u001b[J");
    place.forget();
    await place.draw("z\n");
    expect(newOutput()).toBe("z\u001b[K\n\u001b[J");
  });

  it("starts again when the terminal's height has changed: lines may have gone out of sight and come back", async () => {
    const { output, newOutput } = terminal(20, 24);
    const place = new InPlace(output);
    await place.draw("one\ntwo\n");
    newOutput();
    output.rows = 10;
    await place.draw("one\n");
    expect(newOutput()).toBe("\u001b[H\u001b[2Jone\u001b[K\n\u001b[J");
    await place.draw("one\n");
    expect(newOutput()).toBe("\u001b[1Fone\u001b[K\n\u001b[J");
  });

  it("covers lines that were wider than the terminal", async () => {
    const { output, newOutput } = terminal(10, 24);
    const place = new InPlace(output);
    await place.draw(`${"x".repeat(18)}\n\u001b[1mshort\u001b[0m\n`);
    newOutput();
    await place.draw("y\n");
    expect(newOutput()).toBe("\u001b[3Fy\u001b[K\n\u001b[J");
  });
});

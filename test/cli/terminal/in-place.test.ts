import { describe, expect, it } from "vitest";
import { InPlace } from "../../../src/cli/terminal/in-place.ts";
import { MemoryOutput } from "../memory-output.ts";

function terminal(columns: number, rows: number): { output: MemoryOutput; take: () => string } {
  const output = new MemoryOutput();
  output.columns = columns;
  output.rows = rows;
  let taken = 0;
  const take = (): string => {
    const text = Buffer.from(output.text.slice(taken), "latin1").toString("utf8");
    taken = output.text.length;
    return text;
  };
  return { output, take };
}

describe("A text that is drawn again", () => {
  it("comes in the place of the one before, and nothing of that one is left", async () => {
    const { output, take } = terminal(80, 24);
    const place = new InPlace(output);
    await place.draw("one\ntwo\nthree\n");
    expect(take()).toBe("one\u001b[K\ntwo\u001b[K\nthree\u001b[K\n\u001b[J");
    await place.draw("four\n");
    expect(take()).toBe("\u001b[3Ffour\u001b[K\n\u001b[J");
  });

  it("is cut to the terminal's height, since what has scrolled away cannot be drawn again", async () => {
    const { output, take } = terminal(80, 4);
    const place = new InPlace(output);
    await place.draw("1\n2\n3\n4\n5\n");
    expect(take()).toBe("1\u001b[K\n2\u001b[K\n…\u001b[K\n\u001b[J");
  });

  it("begins anew on a terminal that has another width, and below what somebody else has written", async () => {
    const { output, take } = terminal(20, 24);
    const place = new InPlace(output);
    await place.draw(`${"x".repeat(18)}\n\u001b[1mshort\u001b[0m\n`);
    take();
    output.columns = 10;
    await place.draw("y\n");
    expect(take()).toBe("\u001b[H\u001b[2Jy\u001b[K\n\u001b[J");
    place.forget();
    await place.draw("z\n");
    expect(take()).toBe("z\u001b[K\n\u001b[J");
  });

  it("goes over lines that were wider than the terminal", async () => {
    const { output, take } = terminal(10, 24);
    const place = new InPlace(output);
    await place.draw(`${"x".repeat(18)}\n\u001b[1mshort\u001b[0m\n`);
    take();
    await place.draw("y\n");
    expect(take()).toBe("\u001b[3Fy\u001b[K\n\u001b[J");
  });
});

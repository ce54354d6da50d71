import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { TerminalFilter } from "../../../src/cli/render/terminal-filter.ts";

const ESC = "\u001b";

function show(text: string | Uint8Array): string {
  const filter = new TerminalFilter();
  const bytes = typeof text === "string" ? Buffer.from(text, "utf8") : text;
  return Buffer.concat([filter.push(bytes), filter.end()]).toString("utf8");
}

describe("a log on a terminal", () => {
  it.each([
    ["plain text\n", "plain text\n"],
    ["tabs\tand progress 10%\r20%\r", "tabs\tand progress 10%\r20%\r"],
    ["Grüße, 世界 🚀\n", "Grüße, 世界 🚀\n"],
    [`${ESC}[31mred${ESC}[0m`, `${ESC}[31mred${ESC}[0m${ESC}[m`],
    [`${ESC}[38;2;1;2;3mtrue${ESC}[m`, `${ESC}[38;2;1;2;3mtrue${ESC}[m${ESC}[m`],
  ])("passes %j", (text, shown) => {
    expect(show(text)).toBe(shown);
  });

  it.each([
    ["clearing the screen", `${ESC}[2J`, "^[[2J"],
    ["setting the title", `${ESC}]0;owned\u0007`, "^[]0;owned^G"],
    ["setting the clipboard", `${ESC}]52;c;cm0gLXJm\u0007`, "^[]52;c;cm0gLXJm^G"],
    ["moving the cursor", `${ESC}[10;10H`, "^[[10;10H"],
    ["asking for an answer", `${ESC}[6n`, "^[[6n"],
    ["a sequence with a private marker", `${ESC}[?25l`, "^[[?25l"],
    ["a one-character CSI", "\u009b2J", "\uFFFD2J"],
    ["backspaces that hide text", "rm -rf\b\b", "rm -rf^H^H"],
    ["an escape at the end", `x${ESC}`, "x^["],
    ["a colour that never ends", `${ESC}[${"1;".repeat(100)}`, `^[[${"1;".repeat(100)}`],
    ["an escape within an escape", `${ESC}[3${ESC}[31mx`, `^[[3${ESC}[31mx${ESC}[m`],
  ])("shows %s instead of obeying it", (_, text, shown) => {
    expect(show(text)).toBe(shown);
  });

  it("marks bytes that are not text", () => {
    expect(show(Uint8Array.from([0x61, 0x80, 0xff, 0x62]))).toBe("a\uFFFD\uFFFDb");
  });

  const mean = fc.array(
    fc.oneof(
      fc.uint8Array({ maxLength: 8 }).map((bytes) => Buffer.from(bytes)),
      fc
        .constantFrom(ESC, `${ESC}[`, `${ESC}[31m`, "\u009b", "1;", "m", "H", "ü", "🚀", "\n")
        .map((s) => Buffer.from(s)),
    ),
    { maxLength: 30 },
  );

  it("is shown the same however it is split", () => {
    fc.assert(
      fc.property(mean, fc.array(fc.nat({ max: 12 })), (pieces, cuts) => {
        const whole = Buffer.concat(pieces);
        const filter = new TerminalFilter();
        const out: Uint8Array[] = [];
        let at = 0;
        for (const cut of cuts) {
          out.push(filter.push(whole.subarray(at, at + cut)));
          at += cut;
        }
        out.push(filter.push(whole.subarray(at)), filter.end());
        expect(Buffer.concat(out).toString("latin1")).toBe(raw(whole));
      }),
    );
  });

  it("passes only colour sequences through", () => {
    fc.assert(
      fc.property(mean, (pieces) => {
        const shown = raw(Buffer.concat(pieces));
        // eslint-disable-next-line no-control-regex
        const rest = shown.replaceAll(/\u001b\[[\d;:]*m/g, "");
        // eslint-disable-next-line no-control-regex
        expect(rest).not.toMatch(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]/);
        expect(Buffer.from(rest, "latin1").toString("utf8")).not.toMatch(/[\u0080-\u009f]/);
      }),
    );
  });
});

function raw(bytes: Uint8Array): string {
  const filter = new TerminalFilter();
  return Buffer.concat([filter.push(bytes), filter.end()]).toString("latin1");
}

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Input } from "../../../src/cli/terminal/keys.ts";
import { KeyDecoder } from "../../../src/cli/terminal/keys.ts";

function names(inputs: readonly Input[]): string[] {
  return inputs.map((input) => (input.kind === "key" ? input.name : "(answer)"));
}

function decode(bytes: string): string[] {
  return names(new KeyDecoder().push(Buffer.from(bytes)));
}

describe("The bytes of a terminal are decoded into keys", () => {
  test.each([
    ["a", ["a"]],
    ["jk", ["j", "k"]],
    ["ü流", ["ü", "流"]],
    ["\u001b[A\u001bOB", ["up", "down"]],
    ["\u001b[5~\u001b[6~", ["pageup", "pagedown"]],
    ["\u001b[H\u001bOF\u001b[1~\u001b[4~", ["home", "end", "home", "end"]],
    ["\r\n\t\u007f", ["enter", "enter", "tab", "backspace"]],
    ["\u0003\u001a", ["ctrl-c", "ctrl-z"]],
    ["\u001b[0n", ["(answer)"]],
    // Functions keys, mouse reports: nothing to us.
    ["\u001b[15~x\u001b[1;5Cy\u001b[<0;1;1Mz", ["x", "y", "z"]],
    // Escape and a key in one read, as slow links bring them.
    ["\u001bq", ["escape", "q"]],
    ["\u001b\u001b[A", ["escape", "up"]],
  ])("%j", (bytes, keys) => {
    expect(decode(bytes)).toEqual(keys);
  });

  test("wherever reads end", () => {
    const all = "a\u001b[A流\u001b[200~rm -rf\r\u001b[A\u001b[201~\u001b[6~\u001b[0nq";
    const bytes = Buffer.from(all);
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: bytes.length }), { maxLength: 12 }), (cuts) => {
        const decoder = new KeyDecoder();
        const seen: string[] = [];
        let from = 0;
        for (const to of [...cuts.toSorted((a, b) => a - b), bytes.length]) {
          seen.push(...names(decoder.push(bytes.subarray(from, to))));
          from = Math.max(from, to);
        }
        expect(seen).toEqual(["a", "up", "流", "pagedown", "(answer)", "q"]);
      }),
    );
  });
});

test("An Escape after which no byte follows for a while is the key", () => {
  const decoder = new KeyDecoder();
  expect(decoder.push(Buffer.from("\u001b"))).toEqual([]);
  expect(decoder.holdsEscape).toBe(true);
  expect(names(decoder.flush())).toEqual(["escape"]);
  expect(decoder.holdsEscape).toBe(false);
});

test("Pasted text is not keys, however long it is, and is not kept", () => {
  const decoder = new KeyDecoder();
  decoder.push(Buffer.from("\u001b[200~"));
  for (let i = 0; i < 1_000; i++) expect(decoder.push(Buffer.from("cy".repeat(1_000)))).toEqual([]);
  expect(decoder.holdsEscape).toBe(false);
  expect(names(decoder.push(Buffer.from("\u001b[201~q")))).toEqual(["q"]);
});

test("A sequence that never ends does not swallow later keys", () => {
  const decoder = new KeyDecoder();
  const seen = names(decoder.push(Buffer.from(`\u001b[${"1;".repeat(100)}`)));
  expect(names([...decoder.push(Buffer.from("\u001b[Aq"))]).slice(-2)).toEqual(["up", "q"]);
  expect(seen.length).toBeLessThan(210);
});

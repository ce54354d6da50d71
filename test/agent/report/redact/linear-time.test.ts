import { describe, expect, test, vi } from "vitest";
import { Matcher } from "../../../../src/agent/report/redact/matcher.ts";
import { Ranges } from "../../../../src/agent/report/redact/ranges.ts";
import { Redactor } from "../../../../src/agent/report/redact/redactor.ts";

/** The classical traps: each makes some other way of searching quadratic. */
const traps: { name: string; patterns: string[]; text: string }[] = [
  { name: "almost a secret, everywhere", patterns: ["aaaaab"], text: "a" },
  { name: "almost a long secret, everywhere", patterns: [`${"a".repeat(5000)}b`], text: "a" },
  { name: "a secret that begins late again", patterns: [`${"ab".repeat(3000)}c`], text: "ab" },
  { name: "a secret at every byte", patterns: ["aaaaaa"], text: "a" },
  { name: "secrets within secrets", patterns: Array.from({ length: 400 }, (_, n) => "a".repeat(n + 6)), text: "a" },
  {
    name: "long secrets whose ends are secrets",
    patterns: [`${"a".repeat(4000)}b`, "aaaaaa"],
    text: `${"a".repeat(3999)}c`,
  },
  { name: "what only the sieve takes for a secret", patterns: ["abcdefgh", "hgfedcba"], text: "abcdefgx" },
];
const BYTES = 200_000;

describe("the time for a byte has a bound, whatever text and secrets are", () => {
  test.for(traps)("$name: a byte is read by the automaton at most twice", ({ patterns, text }) => {
    const matcher = new Matcher(patterns.toSorted().map((pattern) => Buffer.from(pattern)));
    const next = vi.spyOn(matcher.automaton, "next");
    const data = Buffer.alloc(BYTES, text);
    matcher.scan(data, 0, 0, new Ranges());
    expect(next.mock.calls.length).toBeLessThanOrEqual(2 * BYTES);
  });

  // A search whose time is quadratic takes thousands of times as long for these, not fifty times.
  test.for(traps)("$name: whole and byte by byte", ({ patterns, text }) => {
    const matcher = new Matcher(patterns.toSorted().map((pattern) => Buffer.from(pattern)));
    const harmless = new Matcher([Buffer.from("\u0001\u0002\u0003\u0004\u0005\u0006")]);
    const data = Buffer.alloc(BYTES, text);
    for (const size of [65_536, 1]) {
      const plain = timeOf(harmless, data, size);
      // A pass over text that the sieve skips is no measure of one in which every byte is read.
      expect(timeOf(matcher, data, size)).toBeLessThan(50 * plain + 200);
    }
  });
});

function timeOf(matcher: Matcher, data: Buffer, size: number): number {
  const redactor = new Redactor(
    () => matcher,
    () => true,
  );
  const start = performance.now();
  for (let at = 0; at < data.length; at += size) redactor.write(data.subarray(at, at + size), 0n);
  redactor.flush();
  return performance.now() - start;
}

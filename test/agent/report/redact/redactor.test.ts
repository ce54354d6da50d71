import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Matcher } from "../../../../src/agent/report/redact/matcher.ts";
import { Redactor } from "../../../../src/agent/report/redact/redactor.ts";
import { chunksOf, redactedByReference } from "./reference.ts";

const bytes = (text: string): Buffer => Buffer.from(text);

function matcherOf(patterns: readonly Uint8Array[]): Matcher {
  const unique = new Map(patterns.map((pattern) => [Buffer.from(pattern).toString("latin1"), pattern]));
  return new Matcher([...unique].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, pattern]) => pattern));
}

interface Passed {
  readonly text: string;
  readonly time: bigint;
}

/** A redactor whose output is kept, with the time of each piece. */
function recorder(patterns: readonly string[]): { redactor: Redactor; passed: Passed[]; all: () => string } {
  const matcher = patterns.length === 0 ? undefined : matcherOf(patterns.map(bytes));
  const passed: Passed[] = [];
  const parts: Buffer[] = [];
  const redactor = new Redactor(
    () => matcher,
    (data, time) => {
      parts.push(Buffer.from(data));
      return passed.push({ text: parts.at(-1)?.toString() ?? "", time }) > 0;
    },
  );
  return { redactor, passed, all: () => Buffer.concat(parts).toString() };
}

function redact(text: Uint8Array, patterns: readonly Uint8Array[], sizes: readonly number[]): Buffer {
  const matcher = matcherOf(patterns);
  const parts: Buffer[] = [];
  const redactor = new Redactor(
    () => matcher,
    (data) => parts.push(Buffer.from(data)) > 0,
  );
  for (const chunk of chunksOf(text, sizes)) redactor.write(chunk, 0n);
  redactor.flush();
  return Buffer.concat(parts);
}

/** Texts made of secrets, parts of them, and other bytes; few letters, so that everything overlaps. */
function textWithSecrets(letters: number, pieceLength: number) {
  const letter = fc.integer({ min: 97, max: 96 + letters });
  const pattern = fc
    .uint8Array({ minLength: 6, maxLength: 24 })
    .chain((random) =>
      fc.array(letter, { minLength: random.length, maxLength: random.length }).map((list) => Uint8Array.from(list)),
    );
  return fc.array(pattern, { minLength: 1, maxLength: 8 }).chain((patterns) => {
    const part = fc
      .tuple(fc.constantFrom(...patterns), fc.nat(24), fc.nat(24))
      .map(([secret, from, to]) => secret.subarray(Math.min(from, to), Math.max(from, to)));
    const noise = fc.array(letter, { maxLength: pieceLength }).map((list) => Uint8Array.from(list));
    const piece = fc.oneof(fc.constantFrom(...patterns), part, noise);
    return fc.record({
      patterns: fc.constant(patterns),
      text: fc.array(piece, { maxLength: 30 }).map((list) => Buffer.concat(list)),
      sizes: fc.array(fc.oneof(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 200 })), {
        minLength: 1,
        maxLength: 10,
      }),
    });
  });
}

describe("whatever the secrets, the text and the cuts", () => {
  const cases = [
    { letters: 1, pieceLength: 20 },
    { letters: 2, pieceLength: 12 },
    { letters: 3, pieceLength: 30 },
    { letters: 20, pieceLength: 100 },
  ];
  test.for(cases)("what passes is what the reference leaves, with $letters letters", ({ letters, pieceLength }) => {
    fc.assert(
      fc.property(textWithSecrets(letters, pieceLength), ({ patterns, text, sizes }) => {
        expect(redact(text, patterns, sizes).toString()).toBe(redactedByReference(text, patterns).toString());
      }),
      { numRuns: 1500 },
    );
  });

  test("no secret passes, of any bytes", () => {
    const pattern = fc.uint8Array({ minLength: 6, maxLength: 300 });
    const input = fc.record({
      patterns: fc.array(pattern, { minLength: 1, maxLength: 20 }),
      between: fc.array(fc.uint8Array({ maxLength: 400 }), { minLength: 1, maxLength: 20 }),
      sizes: fc.array(fc.integer({ min: 1, max: 500 }), { minLength: 1, maxLength: 10 }),
    });
    fc.assert(
      fc.property(input, ({ patterns, between, sizes }) => {
        const text = Buffer.concat(between.flatMap((piece, n) => [piece, patterns[n % patterns.length] as Uint8Array]));
        const left = redact(text, patterns, sizes);
        expect(left.equals(redactedByReference(text, patterns))).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  test("patterns that come in the middle of a stream hold from the next byte on, and all others still hold", () => {
    const input = fc.record({ now: textWithSecrets(2, 12), later: textWithSecrets(2, 12), cut: fc.nat(400) });
    fc.assert(
      fc.property(input, ({ now, later, cut }) => {
        const all = [...now.patterns, ...later.patterns];
        const matchers = [matcherOf(now.patterns), matcherOf(all)];
        const parts: Buffer[] = [];
        let turn = 0;
        const redactor = new Redactor(
          () => matchers[turn],
          (data) => parts.push(Buffer.from(data)) > 0,
        );
        const text = Buffer.concat([now.text, later.text]);
        for (const chunk of chunksOf(text.subarray(0, cut), now.sizes)) redactor.write(chunk, 0n);
        const before = Buffer.concat(parts).length;
        turn = 1;
        for (const chunk of chunksOf(text.subarray(cut), later.sizes)) redactor.write(chunk, 0n);
        redactor.flush();
        const left = Buffer.concat(parts);
        // What is gone is gone; after it, nothing of either kind of secret is left.
        for (const pattern of all) expect(left.subarray(before).indexOf(pattern)).toBe(-1);
        for (const pattern of now.patterns) expect(left.indexOf(pattern)).toBe(-1);
      }),
      { numRuns: 1000 },
    );
  });
});

describe("a secret", () => {
  test("is replaced when it comes byte by byte, with the lines of which it consists", () => {
    const { redactor, all } = recorder(["line one\nline two\n\tline three"]);
    for (const byte of bytes("before\nline one\nline two\n\tline three\nafter\n"))
      redactor.write(Uint8Array.of(byte), 0n);
    redactor.flush();
    expect(all()).toBe("before\n***\nafter\n");
  });

  test("is replaced whatever its characters are", () => {
    const { redactor, all } = recorder(["пароль🔑", "\u0000\u0001\u0002\u0003\u0004\u0005"]);
    const text = bytes("a пароль🔑 b \u0000\u0001\u0002\u0003\u0004\u0005 c 🔑 пароль");
    for (const chunk of chunksOf(text, [3])) redactor.write(chunk, 0n);
    redactor.flush();
    expect(all()).toBe("a *** b *** c 🔑 пароль");
  });

  const unions = [
    { name: "overlap", patterns: ["abcdefgh", "fghijklm"], text: "<abcdefghijklm>", left: "<***>" },
    { name: "touch", patterns: ["abcdef", "ghijkl"], text: "<abcdefghijkl>", left: "<***>" },
    { name: "lie within one another", patterns: ["cdefgh", "abcdefghijkl"], text: "<abcdefghijkl>", left: "<***>" },
    { name: "begin a longer one", patterns: ["abcdef", "abcdefghijkl"], text: "abcdefghij", left: "***ghij" },
    { name: "repeat", patterns: ["abcabc"], text: "<abcabcabcab>", left: "<***ab>" },
    { name: "stand apart", patterns: ["abcdef"], text: "abcdef abcdef", left: "*** ***" },
  ];
  test.for(unions)("gives one mask with others that $name", ({ patterns, text, left }) => {
    for (const size of [1, 2, 5, 7, 100]) {
      const { redactor, all } = recorder(patterns);
      for (const chunk of chunksOf(bytes(text), [size])) redactor.write(chunk, 0n);
      redactor.flush();
      expect(all()).toBe(left);
    }
  });

  test("of which only the beginning has come is passed on at the end, not before", () => {
    const { redactor, all } = recorder(["topsecret"]);
    redactor.write(bytes("say topsec"), 1n);
    expect(all()).toBe("say ");
    redactor.flush();
    expect(all()).toBe("say topsec");
    redactor.write(bytes("ret"), 2n);
    redactor.flush();
    expect(all()).toBe("say topsecret");
  });

  test("is masked as soon as it is complete, though a longer one may follow", () => {
    const { redactor, all } = recorder(["topsecret", "topsecretplan"]);
    redactor.write(bytes("a topsecret"), 1n);
    expect(all()).toBe("a ***");
    redactor.write(bytes("plan b"), 2n);
    expect(all()).toBe("a *** b");
  });

  test("made known while its beginning is held back is replaced", () => {
    const first = matcherOf([bytes("shared-prefix-one")]);
    const both = matcherOf([bytes("shared-prefix-one"), bytes("shared-prefix-two")]);
    let matcher = first;
    let all = "";
    const redactor = new Redactor(
      () => matcher,
      (data) => (all += Buffer.from(data).toString()) !== "",
    );
    redactor.write(bytes("x shared-prefix-"), 1n);
    matcher = both;
    redactor.write(bytes("two y"), 2n);
    expect(all).toBe("x *** y");
  });

  test("made known while other secrets are held back does not hide what stands between them", () => {
    const known = ["abcdef", "abcdef--abcdef--abcdefg"].map(bytes);
    let matcher = matcherOf(known);
    let all = "";
    const redactor = new Redactor(
      () => matcher,
      (data) => (all += Buffer.from(data).toString()) !== "",
    );
    redactor.write(bytes("abcdef--abcdef--abcd"), 1n);
    matcher = matcherOf([...known, bytes("another-one")]);
    redactor.write(bytes(" another-one"), 2n);
    expect(all).toBe("***--***--abcd ***");
  });
});

describe("bytes that are not secret", () => {
  test("pass in the very memory in which they came", () => {
    const seen: Uint8Array[] = [];
    const matcher = matcherOf([bytes("secret-1")]);
    const redactor = new Redactor(
      () => matcher,
      (data) => seen.push(data) > 0,
    );
    const chunk = Buffer.alloc(65_536, "nothing to hide\n");
    redactor.write(chunk, 1n);
    expect(seen[0]).toBe(chunk);
  });

  test("keep the time at which they were read when they were held back", () => {
    const { redactor, passed } = recorder(["secret-number-one"]);
    redactor.write(bytes("a sec"), 1n);
    redactor.write(bytes("ret-n"), 2n);
    redactor.write(bytes("o\n"), 3n);
    expect(passed).toEqual([
      { text: "a ", time: 1n },
      { text: "sec", time: 1n },
      { text: "ret-n", time: 2n },
      { text: "o\n", time: 3n },
    ]);
  });

  test("are held back no longer than they may be a beginning: a whole line never is", () => {
    const { redactor, all } = recorder(["secret-number-one"]);
    redactor.write(bytes("a line with the word secret\n"), 1n);
    expect(all()).toBe("a line with the word secret\n");
  });

  test("make the writer wait when the sink is full, and not otherwise", () => {
    const matcher = matcherOf([bytes("secret-1")]);
    let more = true;
    const redactor = new Redactor(
      () => matcher,
      () => more,
    );
    expect(redactor.write(bytes("text secret-"), 1n)).toBe(true);
    more = false;
    expect(redactor.write(bytes("2 text\n"), 1n)).toBe(false);
  });

  test("pass as they are when there are no secrets", () => {
    const { redactor, all } = recorder([]);
    redactor.write(bytes("anything"), 1n);
    expect(all()).toBe("anything");
  });
});

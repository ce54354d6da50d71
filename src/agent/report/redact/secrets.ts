import { SHORTEST_SECRET } from "../../../base/secrets/environment-secrets.ts";
import { KiB, MiB } from "../../../base/text/sizes.ts";
import { bytesOfText } from "../../../base/text/system-text.ts";
import { encodingsOf, hexadecimal } from "./encodings.ts";
import { Matcher } from "./matcher.ts";
import { latin, linesOf, trim } from "./text.ts";

/** Of values that were written without anything between them, a part of at least this many bytes counts as a secret. */
const PART_BYTES = 8;
/** A longer text of several values counts as one. Bytes. */
const MOST_PARTS = 4 * KiB;
/** All forms of all secrets together, in bytes; each takes some 20 bytes of memory, and 0.2 µs whenever one is added. */
const MOST_PATTERN_BYTES = MiB / 2;
/** A value and its three alignments of base64 together have at least this many times its length. */
const LEAST_GROWTH = 4;
/** The lines around a PEM block are always the same. */
const PEM_ARMOR = /^-----(?:BEGIN|END) [A-Z0-9 ]+-----$/;

/** Whether a value is redacted: `short` and `full` (there are too many already) are not. */
export type Added = "added" | "known" | "short" | "full";

/** The values to redact. They only grow: what was a secret once stays one. */
export class Secrets {
  private readonly patterns = new Map<string, Uint8Array>();
  /** The outcome for each value, so that none is processed twice. */
  private readonly values = new Map<string, Added>();
  private patternBytes = 0;
  private made: Matcher | undefined;
  private readonly mostPatternBytes: number;

  constructor(mostPatternBytes: number = MOST_PATTERN_BYTES) {
    this.mostPatternBytes = mostPatternBytes;
  }

  /** Finds them. Undefined: no secret is known. */
  get matcher(): Matcher | undefined {
    if (this.made === undefined && this.patterns.size > 0) {
      const sorted = [...this.patterns].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, pattern]) => pattern);
      this.made = new Matcher(sorted);
    }
    return this.made;
  }

  /**
   * Adds a value in all its forms, without white space at its ends; of a value of several lines, also each line.
   */
  add(value: Uint8Array | string): Added {
    const whole = trim(typeof value === "string" ? bytesOfText(value) : Buffer.from(value));
    if (whole.length < SHORTEST_SECRET) return "short";
    const key = latin(whole);
    const before = this.values.get(key);
    if (before !== undefined) return before;
    const added = this.addForms(whole);
    this.values.set(key, added === "added" ? "known" : added);
    return added;
  }

  /** Adds all parts of a text of several values, as it is: what is found is at least `PART_BYTES` long. */
  addParts(text: Uint8Array): void {
    if (text.length < 2 * SHORTEST_SECRET || text.length > MOST_PARTS) return;
    for (let at = 0; at + PART_BYTES <= text.length; at++) {
      const part = Uint8Array.from(text.subarray(at, at + PART_BYTES));
      const key = latin(part);
      if (this.patterns.has(key)) continue;
      if (this.patternBytes + PART_BYTES > this.mostPatternBytes) return;
      this.patterns.set(key, part);
      this.patternBytes += PART_BYTES;
      this.made = undefined;
    }
  }

  private addForms(whole: Uint8Array): Added {
    if (this.patternBytes + whole.length * LEAST_GROWTH > this.mostPatternBytes) return "full";
    const fresh = new Map<string, Uint8Array>();
    let bytes = 0;
    for (const form of formsOf(whole)) {
      const formKey = latin(form);
      if (form.length < SHORTEST_SECRET || this.patterns.has(formKey) || fresh.has(formKey)) continue;
      bytes += form.length;
      if (this.patternBytes + bytes > this.mostPatternBytes) return "full";
      fresh.set(formKey, form);
    }
    for (const [formKey, form] of fresh) this.patterns.set(formKey, form);
    this.patternBytes += bytes;
    this.made = undefined;
    return "added";
  }
}

function* formsOf(whole: Uint8Array): Generator<Uint8Array> {
  yield* encodingsOf(whole);
  yield* hexadecimal(whole);
  if (whole.includes(0x0a)) for (const line of secretLines(whole)) yield* encodingsOf(line);
}

function* secretLines(value: Uint8Array): Generator<Uint8Array> {
  for (const line of linesOf(value)) {
    if (line.length >= SHORTEST_SECRET && !PEM_ARMOR.test(latin(line))) yield line;
  }
}

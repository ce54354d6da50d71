/** Longest name. Bytes: names are ASCII. */
export const MOST_NAME_BYTES = 128;

/** One value that the job reports. */
export interface MetricValue {
  readonly name: string;
  readonly value: number;
  /** Position on the job's own axis. */
  readonly step: number | undefined;
}

/** The meaning of a line. */
export type ParsedLine =
  /** Blank, or a comment. */
  | { readonly kind: "nothing" }
  | {
      readonly kind: "record";
      readonly values: readonly MetricValue[];
      /** 0 to 1. Undefined: the line does not set it. The same holds for `note`. */
      readonly progress: number | undefined;
      readonly note: string | undefined;
    }
  /** Violates the grammar; `why` is a clause. */
  | { readonly kind: "bad"; readonly why: string };

const BLANK = /[ \t]+/y;
const WORD = /[^ \t]+/y;
const NAME = /^[A-Za-z_][A-Za-z0-9_./-]*$/;
const NUMBER = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/;
const SPECIAL = /^([+-]?)(?:(nan)|inf|infinity)$/i;
const ESCAPES: Readonly<Record<string, string>> = { '"': '"', "\\": "\\", n: "\n", t: "\t" };
/** How far a sum of floating-point shares may exceed 1. */
const SLACK = 1e-9;

/** Thrown and caught only in this file. */
class Bad extends Error {}

/**
 * Parses one line, without its newline. Never throws.
 *
 * The grammar, in the words of docs/metrics.md:
 *
 * ```
 * line  = [pair *(blank pair)] / "#" *any
 * pair  = name "=" number / "step=" number / "progress=" (number / number "%") / "note=" (word / quoted)
 * name  = (letter / "_") *(letter / digit / "_" / "." / "/" / "-")
 * blank = 1*(space / tab)
 * ```
 */
export function parseLine(line: string): ParsedLine {
  const text = line.endsWith("\r") ? line.slice(0, -1) : line;
  try {
    return parse(text);
  } catch (error) {
    if (error instanceof Bad) return { kind: "bad", why: error.message };
    throw error;
  }
}

function parse(line: string): ParsedLine {
  const pairs = new Map<string, string | number>();
  for (let at = skip(line, 0); at < line.length; ) {
    if (pairs.size === 0 && line[at] === "#") return { kind: "nothing" };
    const equals = nameEnd(line, at);
    const name = line.slice(at, equals);
    if (pairs.has(name)) throw new Bad(`${quoted(name)} occurs twice`);
    at = equals + 1;
    if (line[at] === '"') {
      if (name !== "note") throw new Bad(`expected a number for ${quoted(name)}, found text in quotes`);
      const [note, end] = quotedText(line, at);
      pairs.set(name, note);
      at = end;
    } else {
      const word = wordAt(line, at);
      pairs.set(name, name === "note" ? bareNote(word) : numberOf(name, word));
      at += word.length;
    }
    at = skip(line, at);
  }
  return pairs.size === 0 ? { kind: "nothing" } : recordOf(pairs);
}

function recordOf(pairs: ReadonlyMap<string, string | number>): ParsedLine {
  let step: number | undefined;
  let progress: number | undefined;
  let note: string | undefined;
  const found: [string, number][] = [];
  for (const [name, value] of pairs) {
    if (typeof value === "string") note = value;
    else if (name === "step") step = value;
    else if (name === "progress") progress = Math.min(1, value);
    else found.push([name, value]);
  }
  if (found.length === 0 && progress === undefined && note === undefined) {
    throw new Bad('"step" needs a value on the same line');
  }
  return { kind: "record", values: found.map(([name, value]) => ({ name, value, step })), progress, note };
}

/** @returns the index of the "=" after the name */
function nameEnd(line: string, at: number): number {
  const word = wordAt(line, at);
  const length = word.indexOf("=");
  if (length < 0) throw new Bad(`expected name=value, found ${quoted(word)}`);
  const name = word.slice(0, length);
  if (!NAME.test(name)) throw new Bad(`expected a name of letters, digits and _ . / -, found ${quoted(name)}`);
  if (length > MOST_NAME_BYTES) {
    throw new Bad(`expected a name of at most ${MOST_NAME_BYTES} characters, found ${length}: ${quoted(name)}`);
  }
  return at + length;
}

function numberOf(name: string, word: string): number {
  if (name === "progress") return progressOf(word);
  const value = plainNumber(word);
  if (value === undefined) throw new Bad(`expected a number for ${quoted(name)}, found ${quoted(word)}`);
  if (name === "step" && !Number.isFinite(value)) {
    throw new Bad(`expected a finite number for "step", found ${quoted(word)}`);
  }
  return value;
}

function plainNumber(word: string): number | undefined {
  if (NUMBER.test(word)) return Number(word);
  const special = SPECIAL.exec(word);
  if (special === null) return undefined;
  if (special[2] !== undefined) return Number.NaN;
  return special[1] === "-" ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
}

function progressOf(word: string): number {
  const percent = word.endsWith("%");
  const digits = percent ? word.slice(0, -1) : word;
  const value = NUMBER.test(digits) ? Number(digits) / (percent ? 100 : 1) : Number.NaN;
  if (value >= 0 && value <= 1 + SLACK) return value;
  throw new Bad(`expected 0 to 1 or 0% to 100% for "progress", found ${quoted(word)}`);
}

/** @returns the text, and the index after it */
function quotedText(line: string, start: number): [string, number] {
  let text = "";
  for (let at = start + 1; ; at++) {
    const character = line[at];
    if (character === undefined) throw new Bad('expected a closing quote for "note", found the end of the line');
    if (character === '"') {
      const after = line[at + 1];
      if (after === undefined || after === " " || after === "\t") return [text, at + 1];
      throw new Bad(`expected a space after the closing quote of "note", found ${quoted(after)}`);
    }
    if (character !== "\\") {
      text += character;
      continue;
    }
    const escape = line[++at] ?? "";
    const meant = ESCAPES[escape];
    if (meant === undefined) throw new Bad(`expected \\" \\\\ \\n or \\t in "note", found ${quoted(`\\${escape}`)}`);
    text += meant;
  }
}

function bareNote(word: string): string {
  if (!word.includes('"')) return word;
  throw new Bad(`expected quotes around the whole "note" or none, found ${quoted(word)}`);
}

function skip(line: string, at: number): number {
  BLANK.lastIndex = at;
  return at + (BLANK.exec(line)?.[0].length ?? 0);
}

function wordAt(line: string, at: number): string {
  WORD.lastIndex = at;
  return WORD.exec(line)?.[0] ?? "";
}

/** The text in quotes, shortened, on one line. */
function quoted(text: string): string {
  return JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}…` : text);
}

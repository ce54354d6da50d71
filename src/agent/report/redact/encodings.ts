import { htmlEscaped, pythonRepr, shellQuoted } from "./quotings.ts";
import { latin, unicode } from "./text.ts";

/** Columns after which tools break lines of base64: `base64` of coreutils, and PEM as openssl writes it. */
const WRAPS = [76, 64];
/** Longer values, such as key files, are not printed so, and many digits would slow the search in most logs. Bytes. */
const MOST_HEX_BYTES = 256;

/**
 * The forms in which bytes may appear in a log: as they are, and as base64, URLs, JSON, shells, Python and HTML write
 * them.
 *
 * Forms may come twice, and may be shorter than what can be redacted.
 */
export function* encodingsOf(value: Uint8Array): Generator<Uint8Array> {
  yield value;
  yield* base64(value);
  // Bytes that no other encoding changes: most tokens and keys.
  if (/^[\w.-]*$/.test(latin(value))) return;
  yield* urlEncoded(value);
  for (const form of pythonRepr(value)) yield Buffer.from(form);
  for (const form of shellQuoted(value)) yield Buffer.from(form, "latin1");
  const text = unicode(value);
  if (text === undefined) return;
  for (const form of jsonEscaped(text)) yield Buffer.from(form);
  for (const form of htmlEscaped(text)) yield Buffer.from(form);
}

/** Hexadecimal digits without anything between them; none of a value that is long or has several lines. */
export function* hexadecimal(value: Uint8Array): Generator<Uint8Array> {
  if (value.length > MOST_HEX_BYTES || value.includes(0x0a)) return;
  const digits = Buffer.from(value).toString("hex");
  yield Buffer.from(digits);
  yield Buffer.from(digits.toUpperCase());
}

/**
 * What base64 shows of a value with any other bytes around it. A character of base64 has 6 bits, so the same bytes
 * look different at each of three alignments, and characters that share bits with a neighbour are left out.
 */
function* base64(value: Uint8Array): Generator<Uint8Array> {
  for (const before of [0, 1, 2]) {
    const padded = Buffer.concat([Buffer.alloc(before), value]);
    const first = Math.ceil((before * 8) / 6);
    const last = Math.floor((padded.length * 8) / 6);
    for (const alphabet of ["base64", "base64url"] as const) {
      const text = padded.toString(alphabet).slice(first, last);
      yield Buffer.from(text);
      // Long output of base64(1) has line breaks; of what begins with the value, they are known.
      if (before > 0) continue;
      for (const columns of WRAPS) {
        for (let at = 0; text.length > columns && at < text.length; at += columns) {
          yield Buffer.from(text.slice(at, at + columns));
        }
      }
    }
  }
}

/** Bytes that encoders of URLs do not change, besides letters and digits, for each encoder. */
const UNRESERVED = [
  // RFC 3986; Go, Python's quote(safe="")
  "-_.~",
  // encodeURIComponent
  "-_.~!'()*",
  // encodeURI
  "-_.~!'()*;,/?:@&=+$#",
  // Python's quote
  "-_.~/",
  // HTML forms, URLSearchParams, Java
  "-_.*",
  // PHP's urlencode
  "-_.",
];

/** One table for each encoder: the text for each byte. Made when a secret first needs it. */
let tables: string[][] | undefined;

function urlTables(): string[][] {
  return (tables ??= UNRESERVED.flatMap((unreserved) =>
    [true, false].flatMap((upper) => ["%20", "+"].map((space) => urlTable(unreserved, upper, space))),
  ));
}

function urlTable(unreserved: string, upper: boolean, space: string): string[] {
  return Array.from({ length: 256 }, (_, byte) => {
    const char = String.fromCharCode(byte);
    if (char === " ") return space;
    return /[A-Za-z0-9]/.test(char) || unreserved.includes(char) ? char : `%${hex(byte, 2, upper)}`;
  });
}

function* urlEncoded(value: Uint8Array): Generator<Uint8Array> {
  const text = latin(value);
  if (!URL_SPECIAL.test(text)) return;
  for (const table of urlTables()) {
    yield Buffer.from(text.replaceAll(URL_SPECIALS, (char) => table[char.charCodeAt(0)] ?? ""));
  }
}

/** Bytes that at least one of the tables changes. */
const URL_SPECIAL = /[^A-Za-z0-9._-]/;
const URL_SPECIALS = /[^A-Za-z0-9._-]/g;

/** How writers of JSON differ: what they write as \uXXXX without need, and with which letters. */
const JSON_WRITERS = [
  // JSON.stringify, Rust, jq
  { extra: /(?!)/, upper: false, slash: false },
  { extra: /(?!)/, upper: false, slash: true },
  // Python; with the slash, PHP
  { extra: /[^ -~]/, upper: false, slash: false },
  { extra: /[^ -~]/, upper: false, slash: true },
  // Go
  { extra: /[<>&\u2028\u2029]/, upper: false, slash: false },
  // Gson
  { extra: /[<>&='\u2028\u2029]/, upper: false, slash: false },
  // .NET
  { extra: /[^ -~]|["&'+<>`]/, upper: true, slash: false },
];

function* jsonEscaped(text: string): Generator<string> {
  for (const { extra, upper, slash } of JSON_WRITERS) {
    // By UTF-16 units, as \u counts.
    yield text.replaceAll(/[^A-Za-z0-9 _.,:;-]/g, (unit) => {
      if (extra.test(unit) && !SHORT_ESCAPES.test(unit)) return `\\u${hex(unit.charCodeAt(0), 4, upper)}`;
      // Half a pair: the other half follows, and together they need no escape.
      if (isSurrogate(unit)) return unit;
      return unit === "/" && slash ? "\\/" : JSON.stringify(unit).slice(1, -1);
    });
  }
  // JSON within JSON.
  yield JSON.stringify(JSON.stringify(text).slice(1, -1)).slice(1, -1);
}

/** \b, \t, \n, \f and \r are the same for all writers. */
const SHORT_ESCAPES = /[\b\t\n\f\r]/;

function isSurrogate(unit: string): boolean {
  return unit >= "\ud800" && unit <= "\udfff";
}

function hex(value: number, digits: number, upper: boolean): string {
  const text = value.toString(16).padStart(digits, "0");
  return upper ? text.toUpperCase() : text;
}

import { latin, unicode } from "./text.ts";

// How programs quote a text so that another program can read it. Forms may come twice.

/** Short escapes that C, Python and bash have in common. */
const SHORT: Readonly<Record<string, string>> = { "\n": "\\n", "\t": "\\t", "\r": "\\r", "\\": "\\\\" };

/**
 * Python's `repr` of a text and of bytes, and `ascii`, without the quotes around them. Which quotes those are decides
 * whether an apostrophe is escaped.
 */
export function* pythonRepr(value: Uint8Array): Generator<string> {
  const ofBytes = escaped(latin(value), /[^ -~]/, hexByte);
  yield* [ofBytes, ofBytes.replaceAll("'", "\\'")];
  const text = unicode(value);
  if (text === undefined) return;
  const control = /[\p{Cc}\u00a0\u00ad\u2028\u2029]/u;
  for (const strange of [control, /[^ -~]/u]) {
    const ofText = escaped(text, strange, (char) => codePoint(char));
    yield* [ofText, ofText.replaceAll("'", "\\'")];
  }
}

/**
 * What shells write: `set -x`, `declare -p`, `export -p`, `printf %q` and `${x@Q}`. One character stands for a byte.
 */
export function* shellQuoted(value: Uint8Array): Generator<string> {
  const text = latin(value);
  // 'it'\''s' of bash, 'it'"'"'s' of dash; '' is that of SQL and YAML
  for (const quote of ["'\\''", "'\"'\"'", "''"]) yield text.replaceAll("'", quote);
  // Within double quotes
  yield text.replaceAll(/[\\"$`]/g, "\\$&");
  yield text.replaceAll('"', '""');
  yield text.replaceAll(/[\s'"\\|&;()<>!{}*[?\]^$`,]/g, "\\$&");
  // $'…', which bash writes if there are control characters, or bytes that are not text
  for (const strange of [/[^ -~\x80-\xff]/, /[^ -~]/]) {
    yield escaped(text, strange, (byte) => SHORT_OF_BASH[byte] ?? octal(byte)).replaceAll("'", "\\'");
  }
}

const SHORT_OF_BASH: Readonly<Record<string, string>> = {
  "\x07": "\\a",
  "\b": "\\b",
  "\x1b": "\\E",
  "\f": "\\f",
  "\v": "\\v",
};

/** How writers of HTML and XML differ: what they write for quotes. */
const ENTITIES: readonly Readonly<Record<string, string>>[] = [
  {},
  // XML
  { '"': "&quot;", "'": "&apos;" },
  // JavaScript's libraries, Ruby; PHP; Python; Go, MarkupSafe
  { '"': "&quot;", "'": "&#39;" },
  { '"': "&quot;", "'": "&#039;" },
  { '"': "&quot;", "'": "&#x27;" },
  { '"': "&#34;", "'": "&#39;" },
  { '"': "&quot;", "'": "&#39;", "`": "&#96;", "=": "&#x3D;", "/": "&#x2F;" },
  // Within text, where quotes stay
  { '"': "&quot;" },
];

export function* htmlEscaped(text: string): Generator<string> {
  for (const entities of ENTITIES) {
    const all: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", ...entities };
    yield text.replaceAll(/[&<>"'`=/]/g, (char) => all[char] ?? char);
  }
}

function escaped(text: string, strange: RegExp, write: (char: string) => string): string {
  return text.replaceAll(/./gsu, (char) => SHORT[char] ?? (strange.test(char) ? write(char) : char));
}

function hexByte(char: string): string {
  return `\\x${char.charCodeAt(0).toString(16).padStart(2, "0")}`;
}

function octal(char: string): string {
  return `\\${char.charCodeAt(0).toString(8).padStart(3, "0")}`;
}

function codePoint(char: string): string {
  const code = char.codePointAt(0) ?? 0;
  const digits = code.toString(16);
  if (code <= 0xff) return `\\x${digits.padStart(2, "0")}`;
  return code <= 0xffff ? `\\u${digits.padStart(4, "0")}` : `\\U${digits.padStart(8, "0")}`;
}

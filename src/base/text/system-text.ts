import { isUtf8 } from "node:buffer";

/** A byte that is not UTF-8, from 0x80 on, is this much more as half of a surrogate pair. */
const ESCAPE = 0xdc00;
const ESCAPED = /[\udc80-\udcff]/u;
const EACH_ESCAPED = /[\udc80-\udcff]/gu;

/**
 * Arguments, variables and paths are bytes to the system, and mostly UTF-8. Those that are not are kept in a text byte by
 * byte, as single halves of surrogate pairs, which no valid text has: "surrogateescape" of Python (PEP 383). Such a text
 * goes back to the same bytes; sent or printed as it is, it would lose them.
 */
export function textOfBytes(bytes: Buffer): string {
  if (isUtf8(bytes)) return bytes.toString("utf8");
  let text = "";
  for (let at = 0; at < bytes.length; ) {
    const length = [1, 2, 3, 4].find((n) => at + n <= bytes.length && isUtf8(bytes.subarray(at, at + n)));
    text +=
      length === undefined ? String.fromCharCode(ESCAPE + (bytes[at] ?? 0)) : bytes.toString("utf8", at, at + length);
    at += length ?? 1;
  }
  return text;
}

/** The bytes that a text stands for. */
export function bytesOfText(text: string): Buffer {
  if (!ESCAPED.test(text)) return Buffer.from(text);
  return Buffer.concat(
    Array.from(text, (char) =>
      ESCAPED.test(char) ? Buffer.from([char.charCodeAt(0) - ESCAPE]) : Buffer.from(char, "utf8"),
    ),
  );
}

/** The same as a path for functions of `node:fs`. */
export function pathOfText(text: string): string | Buffer {
  return ESCAPED.test(text) ? bytesOfText(text) : text;
}

/** For a message: bytes that are not UTF-8 as `\xe9`. */
export function shownText(text: string): string {
  return text.replaceAll(EACH_ESCAPED, (char) => `\\x${(char.charCodeAt(0) - ESCAPE).toString(16)}`);
}

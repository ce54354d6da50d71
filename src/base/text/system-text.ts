import { isUtf8 } from "node:buffer";

/** Added to a byte that is not UTF-8 (0x80 or more), gives the half of a surrogate pair that stands for it. */
const ESCAPE = 0xdc00;
const ESCAPED = /[\udc80-\udcff]/u;
const EACH_ESCAPED = /[\udc80-\udcff]/gu;

/**
 * Decodes bytes of the system: arguments, variables and paths, which are mostly but not always UTF-8. A byte that is
 * not UTF-8 becomes a single half of a surrogate pair, which no valid text contains, as in Python's "surrogateescape"
 * (PEP 383). `bytesOfText` restores the same bytes. Such a text must not be sent or printed as it is: that loses them.
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

/** The path that a text stands for, as functions of `node:fs` accept it. */
export function pathOfText(text: string): string | Buffer {
  return ESCAPED.test(text) ? bytesOfText(text) : text;
}

/** The text for a message: bytes that are not UTF-8 are shown as `\xe9`. */
export function shownText(text: string): string {
  return text.replaceAll(EACH_ESCAPED, (char) => `\\x${(char.charCodeAt(0) - ESCAPE).toString(16)}`);
}

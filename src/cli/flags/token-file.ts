import { BelayError } from "../../base/errors.ts";

/** Texts that a header can contain after `Bearer `. */
const TOKEN = /^[\x21-\x7e]+$/;

/**
 * Tokens or keys of a file: one a line; blank lines and `#` comments are skipped. An error names the line, and never
 * shows its content.
 *
 * @throws BelayError `BAD_USAGE`
 */
export function linesOf(contents: Buffer, path: string, flag: string): string[] {
  const found: string[] = [];
  for (const [index, line] of contents.toString("utf8").split("\n").entries()) {
    const text = line.trim();
    if (text === "" || text.startsWith("#")) continue;
    if (!TOKEN.test(text)) {
      const why = /\s/.test(text) ? "it contains a blank" : "it contains a character that is not printable ASCII";
      const place = `line ${index + 1} of ${flag} "${path}"`;
      throw new BelayError("BAD_USAGE", `Cannot use ${place}: ${why}; expected one token or key a line`);
    }
    found.push(text);
  }
  if (found.length === 0) throw new BelayError("BAD_USAGE", `The file of ${flag} "${path}" contains no token or key`);
  return found;
}

/** The one token of a client's token file. @throws BelayError `BAD_USAGE` */
export function onlyToken(contents: Buffer, path: string, flag: string): string {
  const token = contents.toString("utf8").trim();
  if (token === "") throw new BelayError("BAD_USAGE", `The file of ${flag} "${path}" is empty`);
  if (TOKEN.test(token)) return token;
  throw new BelayError(
    "BAD_USAGE",
    `Cannot use ${flag} "${path}": expected one line of printable ASCII, without blanks`,
  );
}

import { BelayError } from "../base/errors.ts";

/** Tokens or keys of a file: one a line; blank lines and `#` comments do not count. @throws BelayError `BAD_USAGE` */
export function linesOf(contents: Buffer, path: string, flag: string): string[] {
  const lines = contents
    .toString("utf8")
    .split("\n")
    .map((line) => line.trim());
  const found = lines.filter((line) => line !== "" && !line.startsWith("#"));
  if (found.length === 0) throw new BelayError("BAD_USAGE", `The file of ${flag} "${path}" has nothing in it`);
  return found;
}

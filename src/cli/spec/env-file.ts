import { BelayError } from "../../base/errors.ts";
import { isKey } from "../flags/flags.ts";

/** A name that every shell can set. */
const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;

/**
 * Reads an environment file: `KEY=VALUE` lines, `#` comments, blank lines, an optional `export` in front. A value in
 * single quotes is literal; in double quotes, `\n`, `\t`, `\"` and `\\` are escapes. A value without quotes is trimmed,
 * and ends at ` #`. Variables are not expanded.
 *
 * @param name of the file, for errors
 * @throws BelayError `BAD_USAGE`, with the line
 */
export function parseEnvFile(text: string, name: string): Record<string, string> {
  const environment: Record<string, string> = {};
  for (const [index, line] of text
    .replace(/^\uFEFF/, "")
    .split(/\r?\n/)
    .entries()) {
    const trimmed = line.trim();
    if (trimmed === "" || trimmed.startsWith("#")) continue;
    const place = `${name}:${index + 1}`;
    const match = /^(?:export\s+)?([^=\s]+)\s*=(.*)$/.exec(trimmed);
    const key = match?.[1];
    if (key === undefined || !NAME.test(key) || !isKey(key)) {
      throw new BelayError("BAD_USAGE", `Cannot use the environment file ${place}: expected KEY=VALUE`);
    }
    environment[key] = unquote((match?.[2] ?? "").trim(), place);
  }
  return environment;
}

function unquote(value: string, place: string): string {
  const quote = value[0];
  if (quote !== '"' && quote !== "'") return value.replace(/\s+#.*$/, "");
  const quoted = quote === "'" ? /^'([^']*)'\s*(?:#.*)?$/ : /^"((?:[^"\\]|\\.)*)"\s*(?:#.*)?$/;
  const inner = quoted.exec(value)?.[1];
  if (inner === undefined) {
    throw new BelayError("BAD_USAGE", `Cannot use the environment file ${place}: the closing ${quote} is missing`);
  }
  if (quote === "'") return inner;
  return inner.replaceAll(/\\(.)/g, (whole, letter: string) => ESCAPES[letter] ?? whole);
}

const ESCAPES: Readonly<Record<string, string>> = { n: "\n", t: "\t", r: "\r", '"': '"', "\\": "\\" };

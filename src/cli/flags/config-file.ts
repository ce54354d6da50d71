import { LineCounter, parseDocument } from "yaml";
import { BelayError, messageOf } from "../../base/errors.ts";
import { didYouMean } from "../../base/text/did-you-mean.ts";
import { readFlagText } from "./flag-file.ts";
import type { Flags } from "./flags.ts";
import { yamlProblem } from "./yaml-problem.ts";
import { flagName } from "./flags.ts";

/**
 * Reads flags from a YAML file: `listen: 0.0.0.0:7070`, `agentTokens: [a, b]`. Keys are the flags' names without dashes
 * in front, in kebab or camel case; values as on the command line.
 *
 * @param given names of flags that command line or environment gave: they override the file
 * @returns the values that the file gives, by the flag's name in the table
 * @throws BelayError `BAD_USAGE`
 */
export async function readConfigFile(
  path: string,
  flags: Flags,
  given: ReadonlySet<string>,
): Promise<Record<string, unknown>> {
  const read = await readFlagText(path, "--config");
  const lines = new LineCounter();
  const document = parseDocument(read, { lineCounter: lines, prettyErrors: false });
  const [problem] = document.errors;
  if (problem !== undefined) {
    const { line } = lines.linePos(problem.pos[0]);
    throw new BelayError("BAD_USAGE", `Cannot read "${path}:${line}" as YAML: ${yamlProblem(problem)}`);
  }
  let settings: unknown;
  try {
    settings = document.toJS();
  } catch (error) {
    throw new BelayError("BAD_USAGE", `Cannot read "${path}" as YAML: ${messageOf(error)}`, { cause: error });
  }
  if (settings === null) return {};
  if (typeof settings !== "object" || Array.isArray(settings)) {
    throw new BelayError(
      "BAD_USAGE",
      `Cannot use "${path}": expected flags and their values, such as "listen: 127.0.0.1:7070"`,
    );
  }
  const values: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(settings)) {
    const key = name.replaceAll(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
    const flag = Object.hasOwn(flags, key) ? flags[key] : undefined;
    if (flag === undefined) {
      const known = Object.keys(flags).map((one) => flagName(one).slice(2));
      const near = didYouMean(flagName(key).slice(2), known);
      throw new BelayError("BAD_USAGE", `Cannot use "${name}" of "${path}": no flag has this name${near}`);
    }
    if (given.has(key) || value === null) continue;
    const texts = Array.isArray(value) ? value.map(String) : [String(value)];
    if (texts.length > 0) values[key] = flag.read(texts, `"${name}" of "${path}"`);
  }
  return values;
}

import type { LineCounter } from "yaml";
import { BelayError } from "../../base/errors.ts";

/** A spec that is being read. Errors name places in it. */
export interface SpecSource {
  /** File name, or `standard input`. */
  readonly name: string;
  readonly lines: LineCounter;
}

/**
 * The error for a place in a spec file: `job.yaml:7: timeout: expected …`.
 *
 * @param offset of the place, in characters from the start
 * @param path keys that lead there, outermost first
 */
export function specError(source: SpecSource, offset: number, path: readonly string[], problem: string): BelayError {
  const line = source.lines.linePos(offset).line;
  const key = path.length === 0 ? "" : `${pathText(path)}: `;
  return new BelayError("BAD_SPEC", `Cannot use the spec ${source.name}:${line}: ${key}${problem}`);
}

/** `["setup", "[1]", "run"]` → `setup[1].run`. */
export function pathText(path: readonly string[]): string {
  return path.join(".").replaceAll(".[", "[");
}

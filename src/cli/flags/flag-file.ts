import { isUtf8 } from "node:buffer";
import { readFile } from "node:fs/promises";
import { BelayError } from "../../base/errors.ts";
import { fileProblem } from "../../base/files/file-problem.ts";

/** Reads a text file that a flag names. @throws BelayError `BAD_USAGE`, also for a file that is not UTF-8 */
export async function readFlagText(path: string, flag: string): Promise<string> {
  const bytes = await readFlagFile(path, flag);
  const problem = utf8Problem(bytes);
  if (problem === undefined) return bytes.toString("utf8");
  throw new BelayError("BAD_USAGE", `Cannot use ${flag} "${path}": ${problem}`);
}

/** Names the line at which a text file is not UTF-8; undefined if all of it is. */
export function utf8Problem(bytes: Buffer): string | undefined {
  if (isUtf8(bytes)) return undefined;
  const lines = bytes.toString("latin1").split("\n");
  const line = lines.findIndex((one) => !isUtf8(Buffer.from(one, "latin1"))) + 1;
  return `line ${line} is not UTF-8`;
}

/** Reads a file that a flag names; it may be a pipe. @throws BelayError `BAD_USAGE` */
export async function readFlagFile(path: string, flag: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    throw new BelayError("BAD_USAGE", `Cannot read ${flag} "${path}": ${fileProblem(error)}`, { cause: error });
  }
}

import { readFile } from "node:fs/promises";
import { BelayError } from "../base/errors.ts";
import { fileProblem } from "../base/file-problem.ts";

/** Reads a file that a flag names; a pipe will do. @throws BelayError `BAD_USAGE` */
export async function readFlagFile(path: string, flag: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    throw new BelayError("BAD_USAGE", `Cannot read ${flag} "${path}": ${fileProblem(error)}`, { cause: error });
  }
}

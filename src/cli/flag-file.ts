import { readFile } from "node:fs/promises";
import { BelayError, messageOf } from "../base/errors.ts";

/** Reads a file that a flag names. @throws BelayError `BAD_USAGE` */
export async function readFlagFile(path: string, flag: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    throw new BelayError("BAD_USAGE", `Cannot read the file of ${flag}: ${messageOf(error)}`, { cause: error });
  }
}

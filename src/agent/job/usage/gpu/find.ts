import fs from "node:fs";
import { delimiter, join } from "node:path";

/** Finds nvidia-smi on a PATH. */
export function findNvidiaSmi(path: string): string | undefined {
  for (const directory of path.split(delimiter)) {
    if (directory === "") continue;
    const file = join(directory, "nvidia-smi");
    try {
      fs.accessSync(file, fs.constants.X_OK);
      if (fs.statSync(file).isFile()) return file;
    } catch {
      // Not in this directory.
    }
  }
  return undefined;
}

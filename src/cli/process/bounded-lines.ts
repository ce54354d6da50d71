import { counted } from "../../base/text/count.ts";
import { MiB } from "../../base/text/sizes.ts";
import type { Output } from "./io.ts";

/** Most bytes that wait for a reader of the program's own lines. */
const MOST_WAITING_BYTES = MiB;

/**
 * Writes the program's own lines without ever waiting. While too much is waiting for a reader that does not read, lines
 * are dropped; when it reads again, a line reports how many.
 */
export function boundedLines(output: Output): (line: string) => void {
  let dropped = 0;
  return (line) => {
    if (output.waiting > MOST_WAITING_BYTES) {
      dropped++;
      return;
    }
    if (dropped > 0) void output.write(`belay: ${counted(dropped, "line")} dropped: standard error was not read\n`);
    dropped = 0;
    void output.write(line);
  };
}

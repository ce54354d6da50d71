import { formatDuration } from "../../contract/durations.ts";
import { formatSize } from "../../contract/sizes.ts";
import { counted } from "../../base/text/count.ts";
import { type ProcessEntry, readKernelRecord, TICKS_PER_SECOND } from "../job/tree/proc.ts";

/** Most processes that are listed. */
const MOST_LISTED = 50;
/** Most characters of a command line. */
const MOST_COMMAND = 120;
/** How much of a command line is read: enough that no secret is cut in two within what is shown. */
const MOST_READ = 8192;

const STATES: Readonly<Record<string, string>> = {
  R: "running",
  S: "sleeping",
  D: "uninterruptible",
  T: "stopped",
  t: "traced",
  I: "idle",
  P: "parked",
};
const HEADER = ["PID", "PARENT", "STATE", "THREADS", "WAITS IN", "CPU", "MEMORY", "COMMAND"];
/** Columns of numbers. */
const RIGHT: ReadonlySet<number> = new Set([0, 1, 3, 5, 6]);

/**
 * A table of processes, the oldest first: at most 50 lines of about 200 characters.
 *
 * @param withoutSecrets removes secrets from a text
 */
export function processList(entries: readonly ProcessEntry[], withoutSecrets: (text: string) => string): string {
  const oldestFirst = entries.toSorted((a, b) => a.startTime - b.startTime || a.pid - b.pid);
  const rows = oldestFirst
    .slice(0, MOST_LISTED)
    .map((entry) => [
      String(entry.pid),
      String(entry.parentPid),
      STATES[entry.state] ?? entry.state,
      String(entry.threads),
      waitChannel(entry.pid),
      formatDuration((entry.ticks / TICKS_PER_SECOND) * 1000),
      formatSize(entry.memoryBytes),
      commandLine(entry, withoutSecrets),
    ]);
  const widths = HEADER.map((name, i) => Math.max(name.length, ...rows.map((row) => (row[i] ?? "").length)));
  const lines = [HEADER, ...rows].map((row) =>
    row
      .map((cell, i) => (RIGHT.has(i) ? cell.padStart(widths[i] ?? 0) : cell.padEnd(widths[i] ?? 0)))
      .join("  ")
      .trimEnd(),
  );
  const more = entries.length - rows.length;
  return [...lines, ...(more > 0 ? [`and ${counted(more, "more process", "more processes")}`] : [])].join("\n");
}

/** The function of the kernel in which the main thread of a process sleeps; "-" if it does not sleep, or is not known. */
function waitChannel(pid: number): string {
  const name = readKernelRecord(`/proc/${pid}/wchan`) ?? "";
  return name === "" || name === "0" ? "-" : name;
}

/** On one line, cut; the short name in brackets if there is no command line. */
function commandLine({ pid, name }: ProcessEntry, withoutSecrets: (text: string) => string): string {
  const bytes = Buffer.from((readKernelRecord(`/proc/${pid}/cmdline`) ?? "").slice(0, MOST_READ), "latin1");
  const words = bytes.toString("utf8").replaceAll("\0", " ").trim();
  // Secrets first: of one that is cut, the rest would not be recognized.
  const text = withoutSecrets(words === "" ? `[${name}]` : words);
  // eslint-disable-next-line no-control-regex
  const line = text.replaceAll(/[\u0000-\u001f\u007f-\u009f]+/g, " ");
  return line.length <= MOST_COMMAND ? line : `${line.slice(0, MOST_COMMAND - 1)}…`.toWellFormed();
}

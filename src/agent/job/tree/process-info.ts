import { create } from "@bufbuild/protobuf";
import { type ProcessInfo, ProcessInfoSchema } from "../../../gen/belay/v1/job_pb.ts";
import { commandOf, type ProcessEntry, TICKS_PER_SECOND } from "./proc.ts";
import { counted } from "../../../base/text/count.ts";

/** Most processes that are shown. */
export const MOST_PROCESSES = 100;
/** Most processes that one sentence names. */
const MOST_NAMED = 5;

/** Describes processes for a user, the oldest first. */
export function describeProcesses(entries: readonly ProcessEntry[]): ProcessInfo[] {
  return entries
    .toSorted((a, b) => a.startTime - b.startTime || a.pid - b.pid)
    .slice(0, MOST_PROCESSES)
    .map((entry) =>
      create(ProcessInfoSchema, {
        pid: entry.pid,
        parentPid: entry.parentPid,
        command: commandOf(entry),
        state: entry.state,
        memoryBytes: BigInt(entry.memoryBytes),
        cpuSeconds: entry.ticks / TICKS_PER_SECOND,
      }),
    );
}

/** "1 process" or "3 processes". */
export function countProcesses(entries: readonly ProcessEntry[]): string {
  return counted(entries.length, "process", "processes");
}

/** The first processes for a sentence: "12 sleep 1000; 13 cat". */
export function listProcesses(entries: readonly ProcessEntry[]): string {
  const names = describeProcesses(entries).map(({ pid, command }) => `${pid} ${command}`);
  return names.length > MOST_NAMED ? `${names.slice(0, MOST_NAMED).join("; ")}; …` : names.join("; ");
}

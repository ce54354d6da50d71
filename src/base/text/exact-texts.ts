import fs from "node:fs";
import { bytesOfText, textOfBytes } from "./system-text.ts";

/** Node's replacement for bytes that are not UTF-8. A text may also contain this character itself. */
const REPLACED = "\ufffd";
/** Prefix of variables that Node would obey: `cli/bundle/launch.sh` renames them for the job. */
const KEPT_FROM_NODE = "BELAY_LAUNCH_FOR_JOB_";
/** Entry that holds, in base64, the variables that the shell of `launch.sh` would drop. */
const DROPPED_BY_SHELL = "BELAY_LAUNCH_ODD=";

/**
 * Arguments of this process, exactly (`textOfBytes`).
 *
 * @param argv the last of them, as Node gives them
 */
export function exactArguments(argv: readonly string[]): readonly string[] {
  if (!argv.some((one) => one.includes(REPLACED))) return argv;
  const all = entriesOf("cmdline");
  return all.length < argv.length ? argv : all.slice(-argv.length).map(textOfBytes);
}

/**
 * The environment that this process was started with, exactly (`textOfBytes`). A variable that was changed since then
 * has its new value.
 *
 * @param environment as Node gives it
 */
export function exactEnvironment<T extends string | undefined>(
  environment: Readonly<Record<string, T>>,
): Readonly<Record<string, T | string>> {
  // Node leaves out a variable whose name is not UTF-8, or gives undefined as its value.
  const replaced = Object.entries(environment).some(([name, value]) => `${name}${value}`.includes(REPLACED));
  if (!replaced) return environment;
  const names = Object.entries(environment).filter(([name]) => !name.includes(REPLACED));
  const exact: Record<string, T | string> = Object.fromEntries(names);
  for (const entry of entriesOf("environ").flatMap(unpackDropped)) {
    const text = textOfBytes(entry);
    if (text.isWellFormed()) continue;
    const cut = text.indexOf("=");
    const name = text.slice(0, cut).replace(KEPT_FROM_NODE, "");
    const value = text.slice(cut + 1);
    if (!name.isWellFormed() || environment[name] === lossy(value)) exact[name] = value;
  }
  return exact;
}

function lossy(text: string): string {
  return bytesOfText(text).toString("utf8");
}

/** The variables in the entry that holds those the shell would drop; any other entry unchanged. */
function unpackDropped(entry: Buffer): Buffer[] {
  const text = entry.toString("latin1");
  if (!text.startsWith(DROPPED_BY_SHELL)) return [entry];
  return split(Buffer.from(text.slice(DROPPED_BY_SHELL.length), "base64"));
}

/** Entries of a file in `/proc/self`; none where there is no /proc. */
function entriesOf(file: "cmdline" | "environ"): Buffer[] {
  try {
    return split(fs.readFileSync(`/proc/self/${file}`));
  } catch {
    return [];
  }
}

/** Entries that end in NUL. */
function split(bytes: Buffer): Buffer[] {
  const entries: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = bytes.indexOf(0, at);
    const stop = end < 0 ? bytes.length : end;
    entries.push(bytes.subarray(at, stop));
    at = stop + 1;
  }
  return entries;
}

import fs from "node:fs";
import { bytesOfText, textOfBytes } from "./system-text.ts";

/** Stands in Node's own texts for bytes that are not UTF-8. It may also be what was meant. */
const REPLACED = "\ufffd";
/** Before the name of a variable that `cli/bundle/launch.sh` kept from Node. */
const KEPT_FROM_NODE = "BELAY_LAUNCH_FOR_JOB_";
/** In base64, variables that its shell would drop. */
const DROPPED_BY_SHELL = "BELAY_LAUNCH_ODD=";

/**
 * Arguments of this process, exactly.
 *
 * @param argv the last ones, as Node gives them
 */
export function exactArguments(argv: readonly string[]): readonly string[] {
  if (!argv.some((one) => one.includes(REPLACED))) return argv;
  const all = entriesOf("cmdline");
  return all.length < argv.length ? argv : all.slice(-argv.length).map(textOfBytes);
}

/**
 * The environment that this process was started with, exactly. Of a variable that was changed since then, the change
 * counts.
 *
 * @param environment as Node gives it
 */
export function exactEnvironment<T extends string | undefined>(
  environment: Readonly<Record<string, T>>,
): Readonly<Record<string, T | string>> {
  // Node leaves out, or gives as undefined, what has a name that is not UTF-8.
  const replaced = Object.entries(environment).some(([name, value]) => `${name}${value}`.includes(REPLACED));
  if (!replaced) return environment;
  const names = Object.entries(environment).filter(([name]) => !name.includes(REPLACED));
  const exact: Record<string, T | string> = Object.fromEntries(names);
  for (const entry of entriesOf("environ").flatMap(withThoseInIt)) {
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

function withThoseInIt(entry: Buffer): Buffer[] {
  const text = entry.toString("latin1");
  if (!text.startsWith(DROPPED_BY_SHELL)) return [entry];
  return split(Buffer.from(text.slice(DROPPED_BY_SHELL.length), "base64"));
}

/** What `/proc/self` shows; nothing where there is no /proc. */
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

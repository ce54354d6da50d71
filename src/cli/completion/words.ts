import { readdirSync } from "node:fs";
import { constants } from "node:os";
import path from "node:path";

/** Most programs that are offered. With a further letter, the shell asks again. */
const MAX_PROGRAMS = 500;

/** Names of signals in the form that the user types: without `SIG`, unless the word begins with it. */
export function signalWords(current: string): readonly string[] {
  const names = Object.keys(constants.signals);
  return current.toUpperCase().startsWith("SIG") ? names : names.map((name) => name.slice("SIG".length));
}

/** Programs on the search path whose names begin with a word. Empty for a word with a slash: that is a file. */
export function programWords(current: string, searchPath: string): readonly string[] {
  if (current.includes("/")) return [];
  const found = new Set<string>();
  for (const directory of searchPath.split(path.delimiter)) {
    for (const name of namesIn(directory)) if (name.startsWith(current)) found.add(name);
  }
  return [...found].toSorted().slice(0, MAX_PROGRAMS);
}

function namesIn(directory: string): string[] {
  try {
    return directory === "" ? [] : readdirSync(directory);
  } catch {
    return [];
  }
}

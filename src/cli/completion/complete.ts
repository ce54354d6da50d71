import type { Command } from "../flags/command.ts";
import { COMMANDS } from "../commands.ts";
import { type Flag, flagName } from "../flags/flags.ts";
import { programWords, signalWords } from "./words.ts";

type Env = Readonly<Record<string, string | undefined>>;

/** Most ids that are offered. */
const MAX_IDS = 200;
/** Longest wait for the tracker: the user waits for the completion. After this, no ids are offered. */
const TRACKER_TIMEOUT_MS = 500;

/**
 * Completions of a word.
 *
 * @param words after `belay`, the unfinished word last
 */
export async function complete(words: readonly string[], env: Env): Promise<readonly string[]> {
  const [name = "", ...rest] = words;
  const current = words.at(-1) ?? "";
  const names = Object.keys(COMMANDS);
  if (words.length <= 1) return names.filter((candidate) => candidate.startsWith(current));
  const entry = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (entry === undefined) return [];
  const command = await entry.load();
  const commandLine = rest.slice(0, -1).indexOf("--");
  // A program's name is followed by its own arguments: for those, shells offer files.
  if (commandLine >= 0) {
    const isProgram = command.takesCommandLine === true && commandLine === rest.length - 2;
    return isProgram ? programWords(current, env["PATH"] ?? "") : [];
  }
  const typed = rest.slice(0, -1);
  const before = typed.at(-1) ?? "";
  const asked =
    flagBefore(command, before)?.namesJob === true ? await jobIds(typed, env) : valueOf(command, before, current);
  const candidates =
    asked ?? (current.startsWith("-") ? flagsOf(command) : await argumentsOf(command, typed, current, env));
  return candidates.filter((candidate) => candidate.startsWith(current));
}

/** The flag before the cursor, with its key. */
function flagBefore(command: Command, before: string): (Flag<unknown> & { readonly key: string }) | undefined {
  for (const [key, flag] of Object.entries(command.flags)) {
    if (before === flagName(key) || (flag.short !== undefined && before === `-${flag.short}`)) return { ...flag, key };
  }
  return undefined;
}

/** Values of the flag before the cursor; undefined if it is not a flag with a value. Empty: the shell offers files. */
function valueOf(command: Command, before: string, current: string): readonly string[] | undefined {
  const flag = flagBefore(command, before);
  if (flag?.value === undefined) return undefined;
  return flag.key === "stopSignal" || flag.key === "warnSignal" ? signalWords(current) : (flag.words ?? []);
}

function flagsOf(command: Command): string[] {
  const shown = Object.keys(command.flags).filter((key) => command.flags[key]?.hidden !== true);
  return [...shown.map(flagName), "--help"];
}

async function argumentsOf(
  command: Command,
  typed: readonly string[],
  current: string,
  env: Env,
): Promise<readonly string[]> {
  const isArgument = (word: string, i: number): boolean =>
    !word.startsWith("-") && valueOf(command, typed[i - 1] ?? "", "") === undefined;
  const argument = command.args[typed.filter(isArgument).length];
  if (argument?.name === "<job>") return jobIds(typed, env);
  return argument?.name === "<signal>" ? signalWords(current) : (argument?.words ?? []);
}

/** Ids of the newest jobs, from the tracker that the command would call. Empty if it does not answer. */
async function jobIds(typed: readonly string[], env: Env): Promise<readonly string[]> {
  const [{ parseCommand }, { openClient }, { clientFlags }, { readContext }] = await Promise.all([
    import("../flags/parse.ts"),
    import("../client/client.ts"),
    import("../client/flags.ts"),
    import("../flags/context.ts"),
  ]);
  const asking = {
    name: "completion",
    args: [],
    about: "",
    flags: clientFlags,
    examples: [],
    run: () => Promise.resolve(0),
  };
  // Only the flags that name the tracker and how to reach it: the others belong to the command.
  const known = new Set(Object.keys(clientFlags).map(flagName));
  const connection = typed.flatMap((word, i) => (known.has(word) ? [word, ...valueAfter(typed, i)] : []));
  try {
    const parsed = parseCommand(asking, connection, env, undefined, readContext(env));
    if ("help" in parsed) return [];
    const flags = parsed.flags as unknown as Parameters<typeof openClient>[0];
    using client = await openClient({ ...flags, connectTimeout: TRACKER_TIMEOUT_MS });
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(), TRACKER_TIMEOUT_MS);
    const answer = await client.call((jobs) => jobs.listJobs({ pageSize: MAX_IDS }, { signal: late.signal }));
    clearTimeout(timer);
    return answer.jobs.map(({ jobId }) => jobId);
  } catch {
    return [];
  }
}

function valueAfter(typed: readonly string[], at: number): string[] {
  const next = typed[at + 1];
  return next === undefined || next.startsWith("--") ? [] : [next];
}

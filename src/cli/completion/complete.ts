import type { Command } from "../command.ts";
import { COMMANDS } from "../commands.ts";
import { flagName } from "../flags.ts";

type Env = Readonly<Record<string, string | undefined>>;

/** Most ids that are offered. */
const MAX_IDS = 200;
/** A person waits with a finger on a key: longer than this, and there are no ids. */
const TRACKER_TIMEOUT_MS = 500;

/**
 * What a word may become.
 *
 * @param words what stands after `belay`, the unfinished word last
 */
export async function complete(words: readonly string[], env: Env): Promise<readonly string[]> {
  const [name = "", ...rest] = words;
  const current = words.at(-1) ?? "";
  const names = Object.keys(COMMANDS);
  if (words.length <= 1) return names.filter((candidate) => candidate.startsWith(current));
  const entry = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (entry === undefined) return [];
  const command = await entry.load();
  // What follows `--` is another program's.
  if (rest.slice(0, -1).includes("--")) return [];
  const before = rest.at(-2) ?? "";
  const asked = valueOf(command, before);
  const candidates =
    asked ?? (current.startsWith("-") ? flagsOf(command) : await argumentsOf(command, rest.slice(0, -1), env));
  return candidates.filter((candidate) => candidate.startsWith(current));
}

/** Values of the flag before the cursor; undefined if it is none that takes a value. Empty: the shell offers files. */
function valueOf(command: Command, before: string): string[] | undefined {
  const found = Object.entries(command.flags).find(
    ([key, flag]) => before === flagName(key) || (flag.short !== undefined && before === `-${flag.short}`),
  );
  const value = found?.[1].value;
  if (value === undefined) return undefined;
  return value.includes("|") ? value.split("|") : [];
}

function flagsOf(command: Command): string[] {
  return [...Object.keys(command.flags).map(flagName), "--help"];
}

async function argumentsOf(command: Command, typed: readonly string[], env: Env): Promise<readonly string[]> {
  const wantsJob = command.args[0]?.name === "<job>";
  const given = typed.filter((word, i) => !word.startsWith("-") && valueOf(command, typed[i - 1] ?? "") === undefined);
  return wantsJob && given.length === 0 ? jobIds(typed, env) : [];
}

/** Ids of the newest jobs, from the tracker that the command would talk to. None if it does not answer. */
async function jobIds(typed: readonly string[], env: Env): Promise<readonly string[]> {
  const [{ parseCommand }, { openClient }, { clientFlags }, { readContext }] = await Promise.all([
    import("../parse.ts"),
    import("../client/client.ts"),
    import("../client/flags.ts"),
    import("../context.ts"),
  ]);
  const asking = {
    name: "completion",
    args: [],
    about: "",
    flags: clientFlags,
    examples: [],
    run: () => Promise.resolve(0),
  };
  // Only where the tracker is: the other flags are the command's own.
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

import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import path from "node:path";
import { makeDirectories } from "../base/directories.ts";
import { BelayError, errnoOf, messageOf } from "../base/errors.ts";
import { fileProblem } from "../base/file-problem.ts";

/** What need not be repeated: flags of every command that talks to a tracker, by their name in the flag tables. */
export type Context = Readonly<Record<string, string>>;

type Env = Readonly<Record<string, string | undefined>>;

/** Where the context is kept. It holds paths and addresses, no secrets. */
export function contextPath(env: Env): string {
  const own = env["BELAY_CONTEXT"];
  if (own !== undefined && own !== "") return own;
  const base = env["XDG_CONFIG_HOME"];
  return path.join(base === undefined || base === "" ? path.join(homedir(), ".config") : base, "belay", "context.json");
}

/** @throws BelayError `BAD_USAGE` for a file that is none of ours */
export function readContext(env: Env): Context {
  const file = contextPath(env);
  try {
    const read: unknown = JSON.parse(readFileSync(file, "utf8"));
    if (typeof read !== "object" || read === null) throw new Error("it holds no settings");
    return Object.fromEntries(Object.entries(read).map(([key, value]) => [key, String(value)]));
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR" || errnoOf(error) === "EACCES") return {};
    throw new BelayError("BAD_USAGE", `Cannot read "${file}": ${messageOf(error)}; belay config writes it`, {
      cause: error,
    });
  }
}

/** Writes it whole or not at all. @throws BelayError `BAD_USAGE` */
export function writeContext(env: Env, context: Context): void {
  const file = contextPath(env);
  try {
    makeDirectories(path.dirname(file), 0o700);
    writeFileSync(`${file}.new`, `${JSON.stringify(context, undefined, 2)}\n`, { mode: 0o600 });
    renameSync(`${file}.new`, file);
  } catch (error) {
    throw new BelayError("BAD_USAGE", `Cannot write "${file}": ${fileProblem(error)}`, { cause: error });
  }
}

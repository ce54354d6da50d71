import { readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import path from "node:path";
import { makeDirectories } from "../../base/files/directories.ts";
import { BelayError, errnoOf } from "../../base/errors.ts";
import { fileProblem } from "../../base/files/file-problem.ts";
import { didYouMean } from "../../base/text/did-you-mean.ts";

/** Saved flags: those of every command that talks to a tracker, by their name in the flag tables. */
export type Context = Readonly<Record<string, string>>;

type Env = Readonly<Record<string, string | undefined>>;

/** Path of the saved flags; undefined for a user without a home directory. It has no secrets, only their paths. */
export function contextPath(env: Env): string | undefined {
  const own = env["BELAY_CONTEXT"];
  if (own !== undefined && own !== "") return own;
  const base = env["XDG_CONFIG_HOME"];
  const directory = base === undefined || base === "" ? home(".config") : base;
  return directory && path.join(directory, "belay", "context.json");
}

function home(name: string): string | undefined {
  try {
    return path.join(homedir(), name);
  } catch {
    // Neither HOME nor an entry in /etc/passwd.
    return undefined;
  }
}

/** Flags that can be saved, by their name in the flag tables. */
export const CONTEXT_KEYS = ["tracker", "tokenFile", "ca", "cert", "key", "insecure"] as const;

/** Reads the saved flags. @throws BelayError `BAD_USAGE` for a file that cannot be read, or has other contents */
export function readContext(env: Env): Context {
  const file = contextPath(env);
  if (file === undefined) return {};
  const fail = (why: string, cause?: unknown): BelayError =>
    new BelayError("BAD_USAGE", `Cannot use "${file}" for saved flags: ${why}; belay config writes it`, { cause });
  let text: string;
  try {
    // Reading a pipe could wait for ever.
    if (!statSync(file).isFile()) throw fail("it is not a regular file");
    text = readFileSync(file, "utf8");
  } catch (error) {
    if (error instanceof BelayError) throw error;
    const code = errnoOf(error);
    if (code === "ENOENT" || code === "ENOTDIR") return {};
    // HOME belongs to another user, as after sudo: the flags saved there are not this user's.
    if (code === "EACCES" && (env["BELAY_CONTEXT"] ?? "") === "") return {};
    throw fail(fileProblem(error), error);
  }
  let read: unknown;
  try {
    read = JSON.parse(text);
  } catch (error) {
    throw fail("it is not JSON", error);
  }
  if (typeof read !== "object" || read === null || Array.isArray(read)) throw fail("expected an object with settings");
  return Object.fromEntries(
    Object.entries(read).map(([key, value]) => {
      if (!CONTEXT_KEYS.some((known) => known === key)) {
        const near = didYouMean(key, CONTEXT_KEYS);
        throw fail(`it has a setting "${key}", expected ${CONTEXT_KEYS.join(", ")}${near}`);
      }
      if (typeof value === "object") throw fail(`its setting "${key}" is not a text`);
      return [key, String(value)];
    }),
  );
}

/** Saves flags: the file is written completely or not at all. @throws BelayError `BAD_USAGE` */
export function writeContext(env: Env, context: Context): void {
  const file = contextPath(env);
  if (file === undefined) {
    throw new BelayError(
      "BAD_USAGE",
      "Cannot save settings: this user has no home directory; set HOME or BELAY_CONTEXT",
    );
  }
  try {
    makeDirectories(path.dirname(file), 0o700);
    writeFileSync(`${file}.new`, `${JSON.stringify(context, undefined, 2)}\n`, { mode: 0o600 });
    renameSync(`${file}.new`, file);
  } catch (error) {
    throw new BelayError("BAD_USAGE", `Cannot write "${file}": ${fileProblem(error)}`, { cause: error });
  }
}

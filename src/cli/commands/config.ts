import path from "node:path";
import { BelayError } from "../../base/errors.ts";
import { workingDirectory } from "../../base/files/directories.ts";
import { shownText } from "../../base/text/system-text.ts";
import { parseTrackerAddresses } from "../../base/network/tracker-address.ts";
import type { Command } from "../flags/command.ts";
import { command } from "../flags/command.ts";
import { connectionFlags } from "../flags/connection-flags.ts";
import { didYouMean } from "../../base/text/did-you-mean.ts";
import { CONTEXT_KEYS, contextPath, readContext, writeContext } from "../flags/context.ts";
import { EXIT_OK } from "../process/exit-codes.ts";
import { flagName } from "../flags/flags.ts";

/** Settings that are paths: saved as absolute paths, since later commands run in other directories. */
const PATHS = new Set(["tokenFile", "ca", "cert", "key"]);
const KEYS: ReadonlyMap<string, string> = new Map(CONTEXT_KEYS.map((key) => [flagName(key).slice(2), key] as const));

/** `belay config` */
export const config: Command = command({
  name: "config",
  args: [
    { name: "[action]", help: "set, unset or show (default: show)", words: ["set", "unset", "show"] },
    { name: "[name]", help: `one of ${[...KEYS.keys()].join(", ")}`, words: [...KEYS.keys()] },
    { name: "[value]", help: "value, as for the flag of this name" },
  ],
  about:
    "Saves default connection flags, so that they need not be repeated. A flag on the command line or its environment " +
    "variable overrides the saved one.",
  flags: {},
  examples: [
    ["belay config set tracker https://tracker.example.org:7070", "for every later command of this user"],
    ["belay config set token-file ~/.belay-token", "the path is saved, not the token"],
    ["belay config show", "what is saved, and where"],
  ],
  notes: "The file is $BELAY_CONTEXT, or belay/context.json in $XDG_CONFIG_HOME or ~/.config.",
  run: async ({ args: [action = "show", name, value], io }) => {
    const kept = readContext(io.env);
    if (action === "show" && name === undefined) {
      for (const [key, setting] of Object.entries(kept)) {
        await io.stdout.write(`${flagName(key).slice(2)} ${setting}\n`);
      }
      const path = contextPath(io.env);
      await io.stderr.write(path === undefined ? "nothing is saved: no home directory\n" : `saved in ${path}\n`);
      return EXIT_OK;
    }
    const key = keyOf(name ?? "");
    if (action === "set" && value !== undefined) {
      if (key === "tracker") parseTrackerAddresses(value, "tracker");
      else if (!PATHS.has(key)) connectionFlags.insecure.read([value], "insecure");
      writeContext(io.env, { ...kept, [key]: PATHS.has(key) ? absolute(key, value) : value });
    } else if (action === "unset" && value === undefined) {
      writeContext(io.env, Object.fromEntries(Object.entries(kept).filter(([other]) => other !== key)));
    } else if (action === "show" && value === undefined) {
      if (kept[key] !== undefined) await io.stdout.write(`${kept[key]}\n`);
    } else {
      throw new BelayError(
        "BAD_USAGE",
        'Cannot use these arguments: expected "set NAME VALUE", "unset NAME" or "show"',
      );
    }
    return EXIT_OK;
  },
});

function keyOf(name: string): string {
  const key = KEYS.get(name);
  if (key !== undefined) return key;
  const near = didYouMean(name, [...KEYS.keys()]);
  throw new BelayError("BAD_USAGE", `Cannot save "${name}": expected one of ${[...KEYS.keys()].join(", ")}${near}`);
}

/** A path as it is saved. @throws BelayError `BAD_USAGE` in a directory whose path cannot be saved */
function absolute(key: string, value: string): string {
  const directory = workingDirectory();
  if (path.isAbsolute(value) || directory?.isWellFormed() !== false) return path.resolve(value);
  const what = `this directory has a path that is not UTF-8, "${shownText(directory)}"`;
  throw new BelayError("BAD_USAGE", `Cannot save ${key} "${value}": ${what}`);
}

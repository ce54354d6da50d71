import { BelayError } from "../../base/errors.ts";
import { parseDuration } from "../../base/text/durations.ts";
import { parseSize } from "../../base/text/sizes.ts";

/** Headings under which a command's help lists its flags. */
export type FlagGroup =
  | "Job"
  | "Tracker"
  | "Spool"
  | "Agent"
  | "Log"
  | "General"
  | "Selection"
  | "Output"
  | "Order"
  | "Listen and TLS"
  | "Tokens"
  | "Limits"
  | "Liveness"
  | "Retention"
  | "Durability"
  | "OpenTelemetry"
  | "Stopping";

/**
 * One flag of a command: the only place that knows its name's meaning, default and help. Its name in the command's
 * table, in camel case, gives both `--kebab-case` and, where the flag is configuration, `BELAY_KEBAB_CASE`; the command
 * line wins over the environment.
 */
export interface Flag<T> {
  /** What stands for its value in the help, such as `URL`. Absent: a switch without a value. */
  readonly value?: string;
  /** One letter. */
  readonly short?: string;
  readonly help: string;
  /** Counts when neither command line nor environment give it. */
  readonly default: T;
  /** The default as the help shows it. Absent: the help shows none. */
  readonly defaultText?: string;
  /**
   * Given: may be repeated; the environment variable is split at this, where no backslash is before it. `""`: the
   * variable is one value.
   */
  readonly separator?: string;
  /** What a shell offers for its value. Absent: files. */
  readonly words?: readonly string[];
  /** Heading under which the help lists it. A command's table takes only flags that have one: see `grouped`. */
  readonly group?: FlagGroup;
  /** It works, and neither help nor completion offers it: an older name, or an older place. */
  readonly hidden?: boolean;
  /**
   * Its environment variable where another command's flag of the same name means something else. `false`: it has none,
   * since it makes sense for one call only; exported once, it would change every later call.
   */
  readonly variable?: string | false;
  /**
   * Reads what was given, in order, at least one text.
   *
   * @param what how to call it in an error
   * @throws BelayError `BAD_USAGE`
   */
  readonly read: (texts: readonly string[], what: string) => T;
}

/** Flags by name, before they have a heading: see `grouped`. */
export type UngroupedFlags = Record<string, Flag<unknown>>;

/** The flags of a command by name. */
export type Flags = Record<string, Flag<unknown> & { readonly group: FlagGroup }>;

/** The same flags, each with its heading. */
export type Grouped<F extends UngroupedFlags> = {
  readonly [K in keyof F]: F[K] & { readonly group: FlagGroup };
};

/** The values of the flags of a table. */
export type Values<F extends UngroupedFlags> = { readonly [K in keyof F]: F[K] extends Flag<infer T> ? T : never };

interface Texts {
  readonly words?: readonly string[];
  readonly variable?: string | false;
  /** How the help shows the default, where it is not a value that could be given. */
  readonly defaultText?: string;
  readonly hidden?: boolean;
  readonly value?: string;
  readonly short?: string;
  readonly help: string;
}

/** A flag with a text, such as a path. An empty one is refused, unless `empty` says that it has a meaning. */
export function text(options: Texts & { empty?: true }): Flag<string | undefined>;
export function text(options: Texts & { default: string }): Flag<string>;
export function text(options: Texts & { default?: string; empty?: true }): Flag<string | undefined> {
  return single(options, options.default, options.default, options.empty === true ? (given) => given : notEmpty);
}

/** A flag with a duration; comes as milliseconds. */
export function duration(options: Texts): Flag<number | undefined>;
export function duration(options: Texts & { default: string }): Flag<number>;
export function duration(options: Texts & { default?: string }): Flag<number | undefined> {
  const byDefault = options.default === undefined ? undefined : parseDuration(options.default);
  return single({ value: "DURATION", ...options }, byDefault, options.default, parseDuration);
}

/** A flag with a size; comes as bytes. */
export function size(options: Texts): Flag<number | undefined>;
export function size(options: Texts & { default: string }): Flag<number>;
export function size(options: Texts & { default?: string }): Flag<number | undefined> {
  const byDefault = options.default === undefined ? undefined : parseSize(options.default);
  return single({ value: "SIZE", ...options }, byDefault, options.default, parseSize);
}

/** A flag with a whole number, from 0 on unless `least` says otherwise. */
export function count(options: Texts & { least?: number }): Flag<number | undefined>;
export function count(options: Texts & { default: number }): Flag<number>;
export function count(options: Texts & { default?: number; least?: number }): Flag<number | undefined> {
  const { least = 0 } = options;
  const shown = options.default === undefined ? undefined : String(options.default);
  return single({ value: "N", ...options }, options.default, shown, (given, what) => {
    if (!/^\d{1,15}$/.test(given) || Number(given) < least) {
      throw wanted(what, given, `a whole number ${least === 0 ? "such as 10" : `from ${least} on`}`);
    }
    return Number(given);
  });
}

/** A flag with one of a few words. */
export function choice<const T extends string>(words: readonly T[], options: Texts & { default: T }): Flag<T>;
export function choice<const T extends string>(words: readonly T[], options: Texts): Flag<T | undefined>;
export function choice<T extends string>(words: readonly T[], options: Texts & { default?: T }): Flag<T | undefined> {
  return single({ value: words.join("|"), words, ...options }, options.default, options.default, (given, what) => {
    const word = words.find((candidate) => candidate === given);
    if (word === undefined) throw wanted(what, given, words.join(", "));
    return word;
  });
}

/** A switch. In the environment: 1, true or yes; 0, false or no. */
export function toggle(options: Texts): Flag<boolean> {
  return {
    ...options,
    default: false,
    read: (texts, what) => {
      const given = (texts.at(-1) ?? "").toLowerCase();
      if (["1", "true", "yes", "on"].includes(given)) return true;
      if (["", "0", "false", "no", "off"].includes(given)) return false;
      throw wanted(what, given, "1 or 0");
    },
  };
}

/** A flag that may be repeated; its environment variable is split at the separator. */
export function many<T>(
  options: Texts & { separator: string },
  readOne: (text: string, what: string) => T,
): Flag<readonly T[]> {
  return { ...options, default: [], read: (texts, what) => texts.map((given) => readOne(notEmpty(given, what), what)) };
}

function notEmpty(given: string, what: string): string {
  if (given === "") throw wanted(what, given, "something that is not empty");
  return given;
}

/** Whether a name can be the key of a map of the contract, which is an object of JavaScript: `__proto__` is lost in one. */
export function isKey(name: string): boolean {
  return name !== "__proto__";
}

/** A repeatable flag `KEY=VALUE`. */
export function pairs(options: Texts & { separator: string }): Flag<readonly (readonly [string, string])[]> {
  return many({ value: "KEY=VALUE", ...options }, (given, what) => {
    const cut = given.indexOf("=");
    if (cut < 1) throw wanted(what, given, "KEY=VALUE");
    if (!isKey(given.slice(0, cut))) throw wanted(what, given, "another key: JavaScript has a meaning for this one");
    return [given.slice(0, cut), given.slice(cut + 1)] as const;
  });
}

/** Puts flags under a heading of the help. */
export function grouped<F extends UngroupedFlags>(group: FlagGroup, flags: F): Grouped<F> {
  return Object.fromEntries(Object.entries(flags).map(([key, flag]) => [key, { ...flag, group }])) as Grouped<F>;
}

/** `connectTimeout` → `--connect-timeout`. */
export function flagName(key: string): string {
  return `--${kebab(key)}`;
}

/** `connectTimeout` → `BELAY_CONNECT_TIMEOUT`. Undefined for a flag of one call. */
export function variableName(key: string, flag: Pick<Flag<unknown>, "variable"> = {}): string | undefined {
  if (flag.variable === false) return undefined;
  return flag.variable ?? `BELAY_${kebab(key).replaceAll("-", "_").toUpperCase()}`;
}

function kebab(key: string): string {
  return key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

function single<T>(
  options: Texts,
  byDefault: T,
  defaultText: string | undefined,
  readOne: (text: string, what: string) => NonNullable<T>,
): Flag<T> {
  return {
    value: "TEXT",
    ...options,
    default: byDefault,
    ...(defaultText === undefined ? {} : { defaultText }),
    ...(options.defaultText === undefined ? {} : { defaultText: options.defaultText }),
    read: (texts, what) => readOne(texts.at(-1) ?? "", what),
  };
}

/** The error for a value that a flag does not accept. */
export function wanted(what: string, given: string, expected: string): BelayError {
  return new BelayError("BAD_USAGE", `Cannot use ${what} "${given}": expected ${expected}`);
}

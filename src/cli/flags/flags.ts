import { BelayError } from "../../base/errors.ts";
import { parseDuration } from "../../contract/durations.ts";
import { parseSize } from "../../contract/sizes.ts";

/** Headings under which a command's help lists its flags. */
export type FlagGroup =
  | "Job"
  | "Attempts"
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
 * One flag of a command: the only place that defines its meaning, default and help. Its name in the command's table, in
 * camel case, gives both `--kebab-case` and, where the flag is configuration, `BELAY_KEBAB_CASE`; the command line
 * overrides the environment.
 */
export interface Flag<T> {
  /** Placeholder of its value in the help, such as `URL`. Absent: a switch without a value. */
  readonly value?: string;
  /** One letter. */
  readonly short?: string;
  readonly help: string;
  /** Value if neither command line nor environment give one. */
  readonly default: T;
  /** The default as the help shows it. Absent: the help shows none. */
  readonly defaultText?: string;
  /**
   * If present, the flag may be repeated, and its environment variable is split at this text, except where a backslash
   * stands before it. `""`: the variable is one value.
   */
  readonly separator?: string;
  /** Values that a shell's completion offers. Absent: file names. */
  readonly words?: readonly string[];
  /** Whether its value is the id of a job that the tracker knows: completion offers those. */
  readonly namesJob?: boolean;
  /** Heading under which the help lists it. Every flag in a command's table must have one: see `grouped`. */
  readonly group?: FlagGroup;
  /** Whether help and completion leave it out: it works, but is an older name, or belongs to another command now. */
  readonly hidden?: boolean;
  /**
   * Its environment variable, if another command has a flag of the same name with another meaning. `false`: it has no
   * variable, because it is meant for one call; an exported variable would change every later call.
   */
  readonly variable?: string | false;
  /**
   * Reads the given values, at least one, in order.
   *
   * @param what name of the flag in an error
   * @throws BelayError `BAD_USAGE`
   */
  readonly read: (texts: readonly string[], what: string) => T;
}

/** Flags by name, before they have a heading: see `grouped`. */
export type UngroupedFlags = Record<string, Flag<unknown>>;

/** The flags of a command by name. */
export type Flags = Record<string, Flag<unknown> & { readonly group: FlagGroup }>;

/** Flags with their heading. */
export type Grouped<F extends UngroupedFlags> = {
  readonly [K in keyof F]: F[K] & { readonly group: FlagGroup };
};

/** The values of the flags of a table. */
export type Values<F extends UngroupedFlags> = { readonly [K in keyof F]: F[K] extends Flag<infer T> ? T : never };

interface Texts {
  readonly words?: readonly string[];
  readonly namesJob?: boolean;
  readonly variable?: string | false;
  /** The default as the help shows it, if it is not a value that a user could give. */
  readonly defaultText?: string;
  readonly hidden?: boolean;
  readonly value?: string;
  readonly short?: string;
  readonly help: string;
}

/** A flag with a text, such as a path. An empty text is rejected, unless `empty` says that it has a meaning. */
export function text(options: Texts & { empty?: true }): Flag<string | undefined>;
export function text(options: Texts & { default: string }): Flag<string>;
export function text(options: Texts & { default?: string; empty?: true }): Flag<string | undefined> {
  return single(options, options.default, options.default, options.empty === true ? (given) => given : notEmpty);
}

/** A flag with a duration; its value is in milliseconds. */
export function duration(options: Texts): Flag<number | undefined>;
export function duration(options: Texts & { default: string }): Flag<number>;
export function duration(options: Texts & { default?: string }): Flag<number | undefined> {
  const byDefault = options.default === undefined ? undefined : parseDuration(options.default);
  return single({ value: "DURATION", ...options }, byDefault, options.default, parseDuration);
}

/** A flag with a size; its value is in bytes. */
export function size(options: Texts): Flag<number | undefined>;
export function size(options: Texts & { default: string }): Flag<number>;
export function size(options: Texts & { default?: string }): Flag<number | undefined> {
  const byDefault = options.default === undefined ? undefined : parseSize(options.default);
  return single({ value: "SIZE", ...options }, byDefault, options.default, parseSize);
}

/** A flag with a whole number: `least` or more. @default 0 or more */
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
  if (given === "") throw wanted(what, given, "a value that is not empty");
  return given;
}

/** Whether a name can be a key of a protobuf map. Such a map is a JavaScript object, which would lose `__proto__`. */
export function isKey(name: string): boolean {
  return name !== "__proto__";
}

/** A repeatable flag `KEY=VALUE`. */
export function pairs(options: Texts & { separator: string }): Flag<readonly (readonly [string, string])[]> {
  return many({ value: "KEY=VALUE", ...options }, (given, what) => {
    const cut = given.indexOf("=");
    if (cut < 1) throw wanted(what, given, "KEY=VALUE");
    if (!isKey(given.slice(0, cut))) throw wanted(what, given, "another key: this one is reserved in JavaScript");
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

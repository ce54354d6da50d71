import { MAX_TIMEOUT_MS } from "./clock.ts";
import { BelayError } from "./errors.ts";

/** Longest duration that is accepted: a hundred years, in milliseconds. A longer one is a typing error. */
export const MAX_DURATION_MS: number = 100 * 365 * 24 * 3_600_000;

/** The values that one option of a function accepts. */
export interface Rule {
  /** For the error, such as `a number of milliseconds`. */
  readonly expected: string;
  readonly accepts: (value: unknown) => boolean;
  /** Options within the option, if it is an object. */
  readonly fields?: Readonly<Record<string, Rule>>;
  /** Whether the option may be left out. @default true */
  readonly optional?: boolean;
}

/** One rule for each option. Without a rule for a new option, the program does not compile. */
export type Rules<T extends object> = { readonly [K in keyof Required<T>]: Rule };

/**
 * Checks a program's options for a function.
 *
 * @param of the function's name, for errors
 * @returns the options, without those that are undefined
 * @throws BelayError `BAD_USAGE` that names the option
 */
export function checkOptions<T extends object>(of: string, options: unknown, rules: Rules<T>): T {
  if (!isObject(options)) throw wrong(`Cannot use the options of ${of}`, "an object", options);
  return checkFields(of, "", options, rules) as T;
}

/** Checks one argument of a function. @throws BelayError `BAD_USAGE` */
export function checkArgument(of: string, name: string, value: unknown, rule: Rule): void {
  if (!rule.accepts(value)) throw wrong(`Cannot use argument "${name}" of ${of}`, rule.expected, value);
}

function checkFields(
  of: string,
  prefix: string,
  options: object,
  rules: Readonly<Record<string, Rule>>,
): Record<string, unknown> {
  const checked: Record<string, unknown> = {};
  for (const [name, rule] of Object.entries(rules)) {
    const value: unknown = Reflect.get(options, name);
    if (value === undefined && rule.optional !== false) continue;
    if (!rule.accepts(value)) throw wrong(`Cannot use option "${prefix}${name}" of ${of}`, rule.expected, value);
    checked[name] =
      rule.fields === undefined ? value : checkFields(of, `${prefix}${name}.`, value as object, rule.fields);
  }
  return checked;
}

/** The same rule for an option that must be given. */
export function required(rule: Rule): Rule {
  return { ...rule, optional: false };
}

/** A text. */
export function text(expected: string): Rule {
  return { expected, accepts: (value) => typeof value === "string" && value !== "" };
}

/** A number of milliseconds, a hundred years at most. */
export function milliseconds(least: number = 0): Rule {
  return {
    expected: `a number of milliseconds, ${least} or more`,
    accepts: (value) => typeof value === "number" && value >= least && value <= MAX_DURATION_MS,
  };
}

/** A number of milliseconds for a timer of Node or a library. */
export function timerMilliseconds(least: number): Rule {
  return {
    expected: `a whole number of milliseconds, ${least} to ${MAX_TIMEOUT_MS}`,
    accepts: (value) => Number.isSafeInteger(value) && Number(value) >= least && Number(value) <= MAX_TIMEOUT_MS,
  };
}

/** A whole number. */
export function whole(expected: string, least: number = 0, most: number = Number.MAX_SAFE_INTEGER): Rule {
  return {
    expected,
    accepts: (value) => Number.isSafeInteger(value) && Number(value) >= least && Number(value) <= most,
  };
}

/** A whole number of bytes. */
export const bytes: Rule = whole("a whole number of bytes, 0 or more");

/** True or false. */
export const yesOrNo: Rule = { expected: "true or false", accepts: (value) => typeof value === "boolean" };

/** One of a few words. */
export function oneOf(...words: readonly string[]): Rule {
  return {
    expected: words.map((word) => `"${word}"`).join(", "),
    accepts: (value) => words.some((word) => word === value),
  };
}

/** A function. */
export const callback: Rule = { expected: "a function", accepts: (value) => typeof value === "function" };

/** An AbortSignal, of this realm or another. */
export const abortSignal: Rule = {
  expected: "an AbortSignal",
  accepts: (value) =>
    isObject(value) && typeof Reflect.get(value, "aborted") === "boolean" && hasMethods(value, "addEventListener"),
};

/** Content of a PEM file. */
export const pem: Rule = {
  expected: "a Buffer with the content of a PEM file",
  accepts: (value) => value instanceof Uint8Array,
};

/** A logger. */
export const someLogger: Rule = {
  expected: "a Logger, as createLogger makes one",
  accepts: (value) => isObject(value) && hasMethods(value, "debug", "info", "warn", "error"),
};

/** An object whose values are texts. */
export function texts(expected: string, andUndefined: boolean = false): Rule {
  return {
    expected,
    accepts: (value) =>
      isObject(value) &&
      !Array.isArray(value) &&
      Object.values(value).every((one) => typeof one === "string" || (andUndefined && one === undefined)),
  };
}

/** A list of texts. */
export function listOfTexts(expected: string): Rule {
  return {
    expected,
    accepts: (value) => Array.isArray(value) && value.every((one) => typeof one === "string"),
  };
}

/** An object with options of its own. */
export function group<T extends object>(fields: Rules<T>): Rule {
  return { expected: "an object", accepts: (value) => isObject(value) && !Array.isArray(value), fields };
}

export function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}

function hasMethods(value: object, ...names: readonly string[]): boolean {
  return names.every((name) => typeof Reflect.get(value, name) === "function");
}

function wrong(what: string, expected: string, found: unknown): BelayError {
  return new BelayError("BAD_USAGE", `${what}: expected ${expected}, found ${describeValue(found)}`);
}

/** A short description of a value, for the end of an error. */
export function describeValue(value: unknown): string {
  switch (typeof value) {
    case "string":
      return value.length > 40 ? `a text of ${value.length} characters` : JSON.stringify(value);
    case "undefined":
      return "nothing";
    case "number":
    case "boolean":
      return String(value);
    case "bigint":
      return `${value}n`;
    case "object":
      if (value === null) return "null";
      return Array.isArray(value) ? "a list" : "an object";
    default:
      return `a ${typeof value}`;
  }
}

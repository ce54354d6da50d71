import { parseDuration } from "../base/durations.ts";
import type { Flag } from "./flags.ts";

/** A flag with a moment: how long ago, or a time; comes as milliseconds since the Unix epoch. */
export function moment(options: { variable: string; help: string }): Flag<number | undefined> {
  return {
    ...options,
    value: "TIME",
    default: undefined,
    read: (texts, what) => {
      const given = texts.at(-1) ?? "";
      if (/^\d{4}-\d\d-\d\d/.test(given) && !Number.isNaN(Date.parse(given))) return Date.parse(given);
      return Math.max(0, Date.now() - parseDuration(given, what));
    },
  };
}

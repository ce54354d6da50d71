import { parseDuration } from "../../contract/durations.ts";
import type { Flag } from "./flags.ts";
import { wanted } from "./flags.ts";

/** A date in ISO 8601, optionally with a time of day, with or without a zone. */
const MOMENT = /^(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.\d+)?)?(?:Z|[+-](\d\d):?(\d\d))?)?$/i;

/** A flag with a moment: a duration (so long ago), or a time. Its value is in milliseconds since the Unix epoch. */
export function moment(options: { variable: false; help: string }): Flag<number | undefined> {
  return {
    ...options,
    value: "TIME",
    default: undefined,
    read: (texts, what) => {
      const given = (texts.at(-1) ?? "").trim();
      if (!/^\d{4}-/.test(given)) return Math.max(0, Date.now() - parseDuration(given, what));
      const time = exists(given) ? Date.parse(given) : Number.NaN;
      if (Number.isNaN(time)) throw wanted(what, given, "a date or time that exists, such as 2026-11-22T08:00:00Z");
      return time;
    },
  };
}

/** Whether a date and time exist: Date.parse accepts 30 February and reads it as 2 March. */
function exists(given: string): boolean {
  const parts = MOMENT.exec(given)
    ?.slice(1)
    .map((part) => Number(part ?? 0));
  if (parts === undefined) return false;
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0, zoneHour = 0, zoneMinute = 0] = parts;
  const date = new Date(Date.UTC(year, month - 1, day));
  const isDate = month >= 1 && month <= 12 && date.getUTCDate() === day;
  return isDate && hour < 24 && minute < 60 && second < 60 && zoneHour < 24 && zoneMinute < 60;
}

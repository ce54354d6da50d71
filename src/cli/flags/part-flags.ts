import type { Flag } from "./flags.ts";
import { count } from "./flags.ts";
import { moment } from "./moment-flag.ts";

/** The attempt of which a command shows what is stored. */
export const attemptFlag: Flag<number | undefined> = count({
  least: 1,
  variable: false,
  help: "only this attempt",
  defaultText: "the latest, and with -f those that follow it",
});

/** The moment from which on a command shows what is stored. */
export const sinceFlag: Flag<number | undefined> = moment({
  variable: false,
  help: "start at this time: 10m (ago), or RFC 3339: 2026-11-22T08:00:00Z",
});

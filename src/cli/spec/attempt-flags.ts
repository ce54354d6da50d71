import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { BelayError } from "../../base/errors.ts";
import { MAX_ATTEMPTS } from "../../contract/retry.ts";
import { FailureClass, type JobSpec, RetryPolicySchema } from "../../gen/belay/v1/job_pb.ts";
import type { Flag, Grouped, Values } from "../flags/flags.ts";
import { duration, flagName, grouped, wanted } from "../flags/flags.ts";

/** Classes that `--retry-on` accepts, as it writes them. */
const CLASSES: Readonly<Record<string, FailureClass>> = {
  job: FailureClass.JOB,
  preempted: FailureClass.PREEMPTED,
  infrastructure: FailureClass.INFRASTRUCTURE,
};

const maxAttempts: Flag<number | undefined> = {
  value: "N",
  default: undefined,
  defaultText: "1",
  help: `how many attempts the job may have, the first included, 1 to ${MAX_ATTEMPTS}`,
  read: (texts, what) => {
    const given = texts.at(-1) ?? "";
    const count = /^\d{1,15}$/.test(given) ? Number(given) : Number.NaN;
    if (count >= 1 && count <= MAX_ATTEMPTS) return count;
    throw wanted(what, given, `a whole number from 1 to ${MAX_ATTEMPTS}`);
  },
};

const retryOn: Flag<readonly FailureClass[]> = {
  value: "CLASSES",
  words: Object.keys(CLASSES),
  separator: ",",
  default: [],
  defaultText: "preempted,infrastructure",
  help:
    "failures that another attempt follows: job (its own failure: exit code, signal, time limit), preempted (its agent " +
    "was asked to stop), infrastructure (agent or machine was lost)",
  read: (texts, what) => {
    const words = texts.flatMap((given) => given.split(",")).map((word) => word.trim());
    return words.map((word) => {
      const found = Object.hasOwn(CLASSES, word.toLowerCase()) ? CLASSES[word.toLowerCase()] : undefined;
      if (found === undefined) throw wanted(what, word, `${Object.keys(CLASSES).join(", ")}, or several with commas`);
      return found;
    });
  },
};

/** Flags for the case that an attempt does not succeed. */
export type AttemptFlags = Grouped<{
  maxAttempts: Flag<number | undefined>;
  retryOn: Flag<readonly FailureClass[]>;
  retryDelay: Flag<number | undefined>;
  lostTimeout: Flag<number | undefined>;
}>;

/** See AttemptFlags. */
export const attemptFlags: AttemptFlags = grouped("Attempts", {
  maxAttempts,
  retryOn,
  retryDelay: duration({
    help: "time between two attempts; doubled after each one, to 1h at most",
    defaultText: "none",
  }),
  lostTimeout: duration({
    // The tracker has a default of this name.
    variable: "BELAY_JOB_LOST_TIMEOUT",
    help: "end an attempt whose agent has been lost for this long; 0: never",
    defaultText: "the tracker's",
  }),
});

/**
 * Puts the flags into a spec. Each flag overrides the same field of a spec file.
 *
 * @throws BelayError `BAD_USAGE` for flags of a retry policy where the job has one attempt only
 */
export function applyAttemptFlags(spec: JobSpec, flags: Values<AttemptFlags>, given: ReadonlySet<string>): void {
  const { maxAttempts: most, retryOn: on, retryDelay: delay, lostTimeout } = flags;
  if (lostTimeout !== undefined) spec.lostTimeout = durationFromMs(lostTimeout);
  if (most !== undefined || on.length > 0 || delay !== undefined) {
    const retry = (spec.retry ??= create(RetryPolicySchema));
    if (most !== undefined) retry.maxAttempts = most;
    if (on.length > 0) retry.on = [...new Set(on)];
    if (delay !== undefined) retry.delay = durationFromMs(delay);
  }
  const needing = (["retryOn", "retryDelay"] as const).find((key) => given.has(key));
  if (needing === undefined || (spec.retry?.maxAttempts ?? 1) > 1) return;
  throw new BelayError("BAD_USAGE", `Cannot use ${flagName(needing)} with one attempt: give --max-attempts 2 or more`);
}

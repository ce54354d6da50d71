import { type Duration, durationMs } from "@bufbuild/protobuf/wkt";
import { className } from "../../contract/names.ts";
import { DEFAULT_MAX_DELAY_MS, DEFAULT_WAIT_MS, maxAttempts, retryClasses } from "../../contract/retry.ts";
import type { RetryPolicy } from "../../gen/belay/v1/job_pb.ts";

/**
 * Compares two policies by what they mean: a value that is left out equals its default.
 *
 * @returns the first field that differs, such as `max_attempts 3, found 5`; undefined: none does
 */
export function policyDifference(stored: RetryPolicy, found: RetryPolicy): string | undefined {
  const others = meaningOf(found);
  const field = Object.entries(meaningOf(stored)).find(([name, value]) => others[name] !== value);
  return field === undefined ? undefined : `${field[0]} ${field[1]}, found ${others[field[0]]}`;
}

/** What counts, by the name of the field. */
function meaningOf(policy: RetryPolicy): Readonly<Record<string, string>> {
  const classes = new Set(retryClasses(policy).map(className));
  return {
    max_attempts: String(maxAttempts(policy)),
    on: [...classes].toSorted().join(", "),
    delay: seconds(policy.delay, 0),
    max_delay: seconds(policy.maxDelay, DEFAULT_MAX_DELAY_MS),
    wait: seconds(policy.wait, DEFAULT_WAIT_MS),
  };
}

function seconds(duration: Duration | undefined, absent: number): string {
  return `${(duration === undefined ? absent : durationMs(duration)) / 1000} s`;
}

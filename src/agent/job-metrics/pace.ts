/** Time between two events while the tracker takes them. Milliseconds. */
const USUAL_MS = 1000;
/** The longest time between two. Milliseconds. */
const LONGEST_MS = 600_000;
/** Events may wait up to this many before the time grows. */
const FREE = 256;
/** With each of so many more that wait, it doubles. */
const DOUBLES_EVERY = 64;

/**
 * Time between two events with what the job says about itself, in milliseconds. While the tracker is away they come less
 * and less often, each with the values of a longer time, thinned to the same size: a week costs some thousand events.
 *
 * @param waiting events that wait for the tracker
 */
export function eventInterval(waiting: number): number {
  return Math.min(LONGEST_MS, USUAL_MS * 2 ** Math.max(0, (waiting - FREE) / DOUBLES_EVERY));
}

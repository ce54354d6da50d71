/** Time between two events while the tracker receives them. Milliseconds. */
const USUAL_MS = 1000;
/** Longest time between two events. Milliseconds. */
const LONGEST_MS = 600_000;
/** How many events may wait before the time between events grows. */
const FREE = 256;
/** The time doubles each time this many more events wait. */
const DOUBLES_EVERY = 64;

/**
 * Time between two events with what the job reports about itself, in milliseconds. While the tracker is away, events
 * become rarer, and each has the values of a longer time, thinned to the same size: a week makes a few thousand events.
 *
 * @param waiting events that wait for the tracker
 */
export function eventInterval(waiting: number): number {
  return Math.min(LONGEST_MS, USUAL_MS * 2 ** Math.max(0, (waiting - FREE) / DOUBLES_EVERY));
}

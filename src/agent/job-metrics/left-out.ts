import { counted } from "../../base/text/count.ts";
import { type Left, MOST_DROPPED_NAMES, MOST_VALUES } from "./interval.ts";

/** Everything that was left out of a job's own metrics. */
export class LeftOut {
  private thinned = 0;
  private lastOnly = 0;
  private dropped = 0;
  private readonly names = new Set<string>();
  private unsent = 0;

  add(left: Left): void {
    this.thinned += left.thinned;
    this.lastOnly += left.lastOnly;
    this.dropped += left.dropped;
    for (const name of left.droppedNames) {
      if (this.names.size >= MOST_DROPPED_NAMES) break;
      this.names.add(name);
    }
  }

  /** Counts the values of an event for which there was no room. */
  addUnsent(values: number): void {
    this.unsent += values;
  }

  /** One sentence for each kind of loss, for the job's log. */
  lines(): string[] {
    const of = (count: number): string => `${counted(count, "value")} of $BELAY_METRICS`;
    const { thinned, lastOnly, dropped, names, unsent } = this;
    const many = names.size >= MOST_DROPPED_NAMES ? `at least ${names.size} names` : counted(names.size, "name");
    return [
      ...(thinned > 0
        ? [`${of(thinned)} came too fast and were thinned: first, last, least and greatest of each name were kept`]
        : []),
      ...(lastOnly > 0 ? [`${of(lastOnly)} came too fast and were thinned: of each name, the last one was kept`] : []),
      ...(dropped > 0
        ? [`${of(dropped)} were dropped, of ${many}: an event holds ${MOST_VALUES} names, and these came later`]
        : []),
      ...(unsent > 0 ? [`${of(unsent)} were dropped: too many events waited for the tracker`] : []),
    ];
  }
}

import type { MetricValue } from "./grammar.ts";

/** Values in one event. */
export const MOST_VALUES = 256;

/** A value with its place among all of the interval. */
interface Placed extends MetricValue {
  readonly order: number;
}

/** Of one name: what is kept when not all can be. */
interface Extremes {
  first: Placed;
  last: Placed;
  min: Placed;
  max: Placed;
}

/**
 * The values of one interval, in bounded memory.
 *
 * Its law: up to 256 values all are kept. Of more, each name keeps its first, last, smallest and largest one; if that
 * is still more than 256, its last one only. Names beyond the first 256 keep nothing. Order is that of writing.
 */
export class Interval {
  private all: Placed[] | undefined = [];
  private readonly names = new Map<string, Extremes>();
  private count = 0;

  get isEmpty(): boolean {
    return this.count === 0;
  }

  add(value: MetricValue): void {
    const placed = { ...value, order: this.count++ };
    if (this.count > MOST_VALUES) this.all = undefined;
    this.all?.push(placed);
    const found = this.names.get(value.name);
    if (found === undefined) {
      if (this.names.size < MOST_VALUES)
        this.names.set(value.name, { first: placed, last: placed, min: placed, max: placed });
      return;
    }
    found.last = placed;
    // What is no number is neither small nor large; it shows as a first or last value.
    if (!(found.min.value <= placed.value) && !Number.isNaN(placed.value)) found.min = placed;
    if (!(found.max.value >= placed.value) && !Number.isNaN(placed.value)) found.max = placed;
  }

  /** What is kept, and how many are not. It is empty afterwards. */
  take(): { readonly values: readonly MetricValue[]; readonly left: number } {
    const values = this.all ?? this.thinned();
    const left = this.count - values.length;
    this.all = [];
    this.names.clear();
    this.count = 0;
    return { values, left };
  }

  private thinned(): Placed[] {
    const extremes = [...this.names.values()];
    const kept = new Set(extremes.flatMap(({ first, last, min, max }) => [first, last, min, max]));
    const chosen = kept.size <= MOST_VALUES ? [...kept] : extremes.map(({ last }) => last);
    return chosen.sort((a, b) => a.order - b.order);
  }
}

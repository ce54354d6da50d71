import type { MetricValue } from "./grammar.ts";

/** Most values in one event. */
export const MOST_VALUES = 256;

/** Most names beyond the kept ones that are counted separately. At 128 bytes each they take half a megabyte. */
export const MOST_DROPPED_NAMES = 4096;

/** How many values are not kept, by what is kept of their name. */
export interface Left {
  /** Of names whose first, last, least and greatest values are kept. */
  readonly thinned: number;
  /** Of names of which only the last value is kept. */
  readonly lastOnly: number;
  /** Of names beyond the bound, of which no value is kept. */
  readonly dropped: number;
  /** The first `MOST_DROPPED_NAMES` names of dropped values. */
  readonly droppedNames: ReadonlySet<string>;
}

/** A value with its position among all of the interval. */
interface Placed extends MetricValue {
  readonly order: number;
}

/** The values of one name that are kept when there is no room for all. */
interface Extremes {
  first: Placed;
  last: Placed;
  min: Placed;
  max: Placed;
}

/**
 * The values of one interval, in bounded memory.
 *
 * Its law: up to 256 values, all are kept. Beyond that, each name keeps its first, last, smallest and largest value; if
 * that is still more than 256, only its last one. Names beyond the first 256 keep nothing. The order is that of
 * writing.
 */
export class Interval {
  private all: Placed[] | undefined = [];
  private readonly names = new Map<string, Extremes>();
  private count = 0;
  private dropped = 0;
  private droppedNames = new Set<string>();

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
      else this.drop(value.name);
      return;
    }
    found.last = placed;
    // NaN is neither small nor large; it is kept only as a first or last value.
    if (!(found.min.value <= placed.value) && !Number.isNaN(placed.value)) found.min = placed;
    if (!(found.max.value >= placed.value) && !Number.isNaN(placed.value)) found.max = placed;
  }

  /** Returns the kept values and what was left out, and clears the interval. */
  drain(): { readonly values: readonly MetricValue[]; readonly left: Left } {
    const { all, dropped, droppedNames } = this;
    const whole = all === undefined ? this.extremes() : all;
    const values = whole.length <= MOST_VALUES ? whole : this.latest();
    const thinned = this.count - dropped - values.length;
    const byLast = values !== whole;
    const left = { thinned: byLast ? 0 : thinned, lastOnly: byLast ? thinned : 0, dropped, droppedNames };
    this.all = [];
    this.names.clear();
    this.count = 0;
    this.dropped = 0;
    this.droppedNames = new Set();
    return { values, left };
  }

  private drop(name: string): void {
    this.dropped++;
    if (this.droppedNames.size < MOST_DROPPED_NAMES) this.droppedNames.add(name);
  }

  private extremes(): Placed[] {
    const kept = [...this.names.values()].flatMap(({ first, last, min, max }) => [first, last, min, max]);
    return inOrder([...new Set(kept)]);
  }

  private latest(): Placed[] {
    return inOrder(Array.from(this.names.values(), ({ last }) => last));
  }
}

function inOrder(values: Placed[]): Placed[] {
  return values.sort((a, b) => a.order - b.order);
}

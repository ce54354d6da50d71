import type { MetricValue } from "./grammar.ts";

/** Values in one event. */
export const MOST_VALUES = 256;

/** Names beyond those that are kept, of which so many are told apart. At 128 bytes each they take half a megabyte. */
export const MOST_DROPPED_NAMES = 4096;

/** Values that are not kept, by what is kept of the others of their name. */
export interface Left {
  /** First, last, least and greatest are kept. */
  readonly thinned: number;
  /** Only the last one is kept. */
  readonly lastOnly: number;
  /** None is kept: their names are beyond the bound. */
  readonly dropped: number;
  /** Names of the dropped ones, the first `MOST_DROPPED_NAMES`. */
  readonly droppedNames: ReadonlySet<string>;
}

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
    // What is no number is neither small nor large; it shows as a first or last value.
    if (!(found.min.value <= placed.value) && !Number.isNaN(placed.value)) found.min = placed;
    if (!(found.max.value >= placed.value) && !Number.isNaN(placed.value)) found.max = placed;
  }

  /** What is kept, and what is not. It is empty afterwards. */
  take(): { readonly values: readonly MetricValue[]; readonly left: Left } {
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

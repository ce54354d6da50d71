/** An item, and the time at which it is due, on any rising scale. */
export interface Due {
  readonly key: string;
  readonly due: number;
}

/**
 * Items in the order in which they are due: a binary heap that stores the place of each item, so that an item can be
 * removed or moved at once.
 */
export class DueQueue<T extends Due> {
  private readonly heap: T[] = [];
  private readonly places = new Map<string, number>();

  get size(): number {
    return this.heap.length;
  }

  /** The item that is due first. Undefined: the queue is empty. */
  get first(): T | undefined {
    return this.heap[0];
  }

  get(key: string): T | undefined {
    const place = this.places.get(key);
    return place === undefined ? undefined : this.heap[place];
  }

  /** Adds an item. It replaces one with the same key. */
  set(item: T): void {
    const place = this.places.get(item.key) ?? this.heap.length;
    this.put(item, place);
    this.settle(place);
  }

  delete(key: string): void {
    const place = this.places.get(key);
    const last = this.heap.at(-1);
    if (place === undefined || last === undefined) return;
    this.heap.pop();
    this.places.delete(key);
    if (last.key === key) return;
    this.put(last, place);
    this.settle(place);
  }

  private put(item: T, place: number): void {
    this.heap[place] = item;
    this.places.set(item.key, place);
  }

  /** Moves the item of a place up or down until none is due before the one above it. */
  private settle(place: number): void {
    let at = place;
    for (let up = (at - 1) >> 1; at > 0 && this.swapIfEarlier(at, up); up = (at - 1) >> 1) at = up;
    for (;;) {
      const [left, right] = [2 * at + 1, 2 * at + 2];
      const lower = this.dueAt(right) < this.dueAt(left) ? right : left;
      if (!this.swapIfEarlier(lower, at)) return;
      at = lower;
    }
  }

  private dueAt(place: number): number {
    return this.heap[place]?.due ?? Number.POSITIVE_INFINITY;
  }

  private swapIfEarlier(lower: number, upper: number): boolean {
    const [below, above] = [this.heap[lower], this.heap[upper]];
    if (below === undefined || above === undefined || below.due >= above.due) return false;
    this.put(below, upper);
    this.put(above, lower);
    return true;
  }
}

/**
 * The union of matches, as disjoint ranges that do not touch, in order.
 *
 * Matches come in the order of their ends, so a new one can only be merged with the last ranges. Each range is merged
 * at most once, so the whole takes linear time.
 */
export class Ranges {
  /** Whether the first range has been replaced already; it is kept to be merged with a match that touches it. */
  firstIsOut = false;
  private starts: number[] = [];
  private ends: number[] = [];

  get length(): number {
    return this.starts.length;
  }

  start(index: number): number {
    return this.starts[index] ?? Number.POSITIVE_INFINITY;
  }

  end(index: number): number {
    return this.ends[index] ?? Number.POSITIVE_INFINITY;
  }

  /** Adds `[start, end)`. */
  add(start: number, end: number): void {
    let from = start;
    let to = end;
    while (this.ends.length > 0 && (this.ends.at(-1) as number) >= from) {
      from = Math.min(from, this.starts.pop() as number);
      to = Math.max(to, this.ends.pop() as number);
    }
    this.starts.push(from);
    this.ends.push(to);
  }

  /** Forgets the first `count`. */
  forget(count: number): void {
    if (count === 0) return;
    this.starts.splice(0, count);
    this.ends.splice(0, count);
    this.firstIsOut = false;
  }

  /** Forgets all that have not been replaced yet. */
  forgetPending(): void {
    this.starts.length = this.ends.length = this.firstIsOut ? 1 : 0;
  }
}

/** A queue of arriving values, which a test awaits one by one. */
export class Queue<T> {
  private readonly values: T[] = [];
  private readonly waiting: ((value: T) => void)[] = [];

  push(value: T): void {
    const next = this.waiting.shift();
    if (next === undefined) this.values.push(value);
    else next(value);
  }

  /** The next value, in order of arrival. The test's own time limit bounds the wait. */
  next(): Promise<T> {
    if (this.values.length > 0) return Promise.resolve(this.values.shift() as T);
    return new Promise((resolve) => this.waiting.push(resolve));
  }

  get size(): number {
    return this.values.length;
  }
}

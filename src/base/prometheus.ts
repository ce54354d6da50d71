/**
 * Metrics for Prometheus, in its text format 0.0.4. Our own, since it is only sixty lines: the usual library has a
 * global registry, and default metrics whose names change with its versions.
 */

type Labels = Readonly<Record<string, string>>;

/** Holds metrics and writes them as text. */
export class MetricsRegistry {
  private readonly families: { readonly head: string; lines(): Iterable<string> }[] = [];

  /** Adds a number that only rises. */
  counter(name: string, help: string): Counter {
    const counter = new Counter();
    this.add(name, "counter", help, () => counter.lines(name));
    return counter;
  }

  /** Adds a count of values up to each bound and in total, and their sum. */
  histogram(name: string, help: string, bounds: readonly number[]): Histogram {
    const histogram = new Histogram(bounds);
    this.add(name, "histogram", help, () => histogram.lines(name));
    return histogram;
  }

  /** Adds a number that is read when the text is written; several numbers with labels. */
  gauge(name: string, help: string, read: () => number | Iterable<readonly [Labels, number]>, type = "gauge"): void {
    this.add(name, type, help, function* () {
      const value = read();
      if (typeof value === "number") yield line(name, {}, value);
      else for (const [labels, one] of value) yield line(name, labels, one);
    });
  }

  /** All metrics as text. */
  text(): string {
    return this.families.map((family) => [family.head, ...family.lines(), ""].join("\n")).join("");
  }

  private add(name: string, type: string, help: string, lines: () => Iterable<string>): void {
    this.families.push({ head: `# HELP ${name} ${help}\n# TYPE ${name} ${type}`, lines });
  }
}

/** See MetricsRegistry.counter. */
export class Counter {
  private readonly values = new Map<string, { readonly labels: Labels; value: number }>();

  add(value = 1, labels: Labels = {}): void {
    const key = JSON.stringify(labels);
    const found = this.values.get(key);
    if (found === undefined) this.values.set(key, { labels, value });
    else found.value += value;
  }

  *lines(name: string): Iterable<string> {
    if (this.values.size === 0) yield line(name, {}, 0);
    for (const { labels, value } of this.values.values()) yield line(name, labels, value);
  }
}

/** See MetricsRegistry.histogram. */
export class Histogram {
  private readonly bounds: readonly number[];
  private readonly counts: number[];
  private count = 0;
  private sum = 0;

  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.counts = bounds.map(() => 0);
  }

  observe(value: number): void {
    this.count++;
    this.sum += value;
    for (let i = this.bounds.length - 1; i >= 0 && value <= (this.bounds[i] ?? 0); i--) {
      this.counts[i] = (this.counts[i] ?? 0) + 1;
    }
  }

  *lines(name: string): Iterable<string> {
    for (const [i, bound] of this.bounds.entries()) {
      yield line(`${name}_bucket`, { le: String(bound) }, this.counts[i] ?? 0);
    }
    yield line(`${name}_bucket`, { le: "+Inf" }, this.count);
    yield line(`${name}_sum`, {}, this.sum);
    yield line(`${name}_count`, {}, this.count);
  }
}

function line(name: string, labels: Labels, value: number): string {
  const pairs = Object.entries(labels).map(([key, text]) => `${key}="${text.replaceAll(/["\\\n]/g, escape)}"`);
  return `${name}${pairs.length === 0 ? "" : `{${pairs.join(",")}}`} ${value}`;
}

function escape(character: string): string {
  return character === "\n" ? "\\n" : `\\${character}`;
}

/**
 * Numbers for Prometheus, in its text format 0.0.4. Written here since it is all of sixty lines: the usual library brings
 * a registry that is global, and default numbers whose names change with its versions.
 */

type Labels = Readonly<Record<string, string>>;

/** Where numbers are kept and written from. */
export class MetricsRegistry {
  private readonly families: { readonly head: string; lines(): Iterable<string> }[] = [];

  /** A number that only rises. */
  counter(name: string, help: string): Counter {
    const counter = new Counter();
    this.add(name, "counter", help, () => counter.lines(name));
    return counter;
  }

  /** How often a value was at most this large, how often in all, and their sum. */
  histogram(name: string, help: string, bounds: readonly number[]): Histogram {
    const histogram = new Histogram(bounds);
    this.add(name, "histogram", help, () => histogram.lines(name));
    return histogram;
  }

  /** A number that is asked for when it is to be written; several with labels. */
  gauge(name: string, help: string, read: () => number | Iterable<readonly [Labels, number]>, type = "gauge"): void {
    this.add(name, type, help, function* () {
      const value = read();
      if (typeof value === "number") yield line(name, {}, value);
      else for (const [labels, one] of value) yield line(name, labels, one);
    });
  }

  /** All of it as text. */
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

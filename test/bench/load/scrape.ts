/** The values of a tracker's /metrics, summed over labels other than a histogram's `le`. */
export class Scrape {
  private readonly values = new Map<string, number>();
  private readonly buckets = new Map<string, Map<number, number>>();

  static async of(address: string): Promise<Scrape> {
    const response = await fetch(new URL("/metrics", address));
    if (!response.ok) throw new Error(`The tracker's /metrics answers ${response.status}: expected 200`);
    return new Scrape(await response.text());
  }

  /** @param text the Prometheus text format */
  constructor(text: string) {
    for (const line of text.split("\n")) {
      const [, name = "", labels = "", value = ""] = /^([a-z_]+)(\{.*\})? (\S+)$/.exec(line) ?? [];
      if (name === "") continue;
      const le = /le="([^"]+)"/.exec(labels)?.[1];
      if (le === undefined) this.values.set(name, (this.values.get(name) ?? 0) + Number(value));
      else
        this.bucket(name.replace(/_bucket$/, ""), le === "+Inf" ? Number.POSITIVE_INFINITY : Number(le), Number(value));
    }
  }

  /** A counter or gauge; NaN if there is none. */
  value(name: string): number {
    return this.values.get(name) ?? Number.NaN;
  }

  /** The upper bound of the bucket below which a share of the values since an earlier scrape lies. */
  percentile(name: string, share: number, since: Scrape): number {
    const before = since.buckets.get(name);
    const counts = [...(this.buckets.get(name) ?? [])]
      .map(([bound, count]) => [bound, count - (before?.get(bound) ?? 0)] as const)
      .toSorted(([a], [b]) => a - b);
    const total = counts.at(-1)?.[1] ?? 0;
    return total === 0 ? Number.NaN : (counts.find(([, count]) => count >= share * total)?.[0] ?? Number.NaN);
  }

  private bucket(name: string, bound: number, count: number): void {
    const buckets = this.buckets.get(name) ?? new Map<number, number>();
    buckets.set(bound, (buckets.get(bound) ?? 0) + count);
    this.buckets.set(name, buckets);
  }
}

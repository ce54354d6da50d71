import { create } from "@bufbuild/protobuf";
import type { JobMetrics } from "../../../gen/belay/v1/job_pb.ts";
import { JobMetricsSchema } from "../../../gen/belay/v1/job_pb.ts";
import { telling } from "./merge-job-metrics.ts";

/** Names of its own metrics that an attempt may have. Values of further ones are not kept, but counted. */
export const MAX_NAMES = 256;
/** Values of one record that are kept as they are; of more, only those that tell most. */
const MAX_VALUES = 1024;

/** The names that an attempt has used, the first `MAX_NAMES` of them, and what was not kept. */
export class Names {
  readonly known: Set<string>;
  /** Values that were not kept since their name was one too many. */
  unkept: number;

  constructor(known: Iterable<string> = [], unkept = 0) {
    this.known = new Set(known);
    this.unkept = unkept;
  }

  /** A record without what is too much: itself, if nothing is. */
  bound(record: JobMetrics): JobMetrics {
    const kept = record.metrics.filter(({ name }) => this.takes(name));
    this.unkept += record.metrics.length - kept.length;
    if (kept.length === record.metrics.length && kept.length <= MAX_VALUES) return record;
    return create(JobMetricsSchema, { ...record, metrics: kept.length > MAX_VALUES ? telling(kept) : kept });
  }

  private takes(name: string): boolean {
    if (this.known.has(name)) return true;
    if (this.known.size >= MAX_NAMES) return false;
    this.known.add(name);
    return true;
  }
}

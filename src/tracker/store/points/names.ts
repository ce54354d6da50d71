import { create } from "@bufbuild/protobuf";
import type { JobMetrics } from "../../../gen/belay/v1/job_pb.ts";
import { JobMetricsSchema } from "../../../gen/belay/v1/job_pb.ts";
import { significant } from "./merge-job-metrics.ts";

/** Most names of own metrics of one attempt. Values of further names are counted and not kept. */
export const MAX_NAMES = 256;
/** Most values of one record that are all kept. Of more, only the significant ones are. */
const MAX_VALUES = 1024;

/** The first `MAX_NAMES` names that an attempt has used, and how many values were not kept. */
export class Names {
  readonly known: Set<string>;
  /** How many values were not kept because there were too many names. */
  unkept: number;

  constructor(known: Iterable<string> = [], unkept = 0) {
    this.known = new Set(known);
    this.unkept = unkept;
  }

  /** Returns the record without what exceeds the bounds; the record itself, if nothing does. */
  bound(record: JobMetrics): JobMetrics {
    const kept = record.metrics.filter(({ name }) => this.takes(name));
    this.unkept += record.metrics.length - kept.length;
    if (kept.length === record.metrics.length && kept.length <= MAX_VALUES) return record;
    return create(JobMetricsSchema, { ...record, metrics: kept.length > MAX_VALUES ? significant(kept) : kept });
  }

  private takes(name: string): boolean {
    if (this.known.has(name)) return true;
    if (this.known.size >= MAX_NAMES) return false;
    this.known.add(name);
    return true;
  }
}

import { availableParallelism } from "node:os";
import { create } from "@bufbuild/protobuf";
import { systemClock, type Timer } from "../../base/clock.ts";
import {
  type MetricSample,
  MetricSampleSchema,
  type ResourceUsage,
  ResourceUsageSchema,
} from "../../gen/belay/v1/job_pb.ts";
import type { ProcessTree, TreeUsage } from "./tree.ts";

/** First look at a new job: even a short one is to have a peak. */
const FIRST_LOOK_MS = 20;
/** Looks become rarer up to this. */
const LONGEST_LOOK_MS = 2000;
/** A look may take this share of the time between two of them. */
const MOST_SHARE = 1 / 250;

/**
 * Measures what the tree uses, when asked and now and then by itself: peaks are only as true as the looks are many, and
 * without a cgroup each look also finds processes that later ones could not.
 */
export class Sampler {
  private readonly tree: ProcessTree;
  private readonly memoryLimitBytes: number;
  private timer: Timer | undefined;
  private peakProcesses = 0;
  private last: { cpuSeconds: number; at: number } | undefined;

  /** @param memoryLimitBytes that is enforced; 0: none */
  constructor(tree: ProcessTree, memoryLimitBytes: number) {
    this.tree = tree;
    this.memoryLimitBytes = memoryLimitBytes;
  }

  /** Begins to look by itself, densely at first. */
  start(): void {
    this.stop();
    this.lookAfter(FIRST_LOOK_MS);
  }

  stop(): void {
    this.timer?.cancel();
    this.timer = undefined;
  }

  sample(step: number): MetricSample {
    const usage = this.look();
    const at = performance.now();
    const before = this.last;
    // Two samples in one breath would divide by next to nothing.
    const cores =
      before === undefined || at - before.at < 1
        ? undefined
        : Math.max(0, ((usage.cpuSeconds - before.cpuSeconds) / (at - before.at)) * 1000);
    this.last = { cpuSeconds: usage.cpuSeconds, at };
    return create(MetricSampleSchema, {
      sampleUnixNano: systemClock.unixNano(),
      step,
      ...(cores === undefined ? {} : { cpuCores: cores }),
      cpuSeconds: usage.cpuSeconds,
      cpuLimitCores: availableParallelism(),
      memoryBytes: BigInt(usage.memoryBytes),
      memoryLimitBytes: BigInt(this.memoryLimitBytes),
      processes: usage.processes,
      threads: usage.threads,
      exact: usage.exact,
    });
  }

  /** What was used in all. */
  total(): ResourceUsage {
    const usage = this.look();
    return create(ResourceUsageSchema, {
      cpuSeconds: usage.cpuSeconds,
      peakMemoryBytes: BigInt(usage.peakMemoryBytes),
      peakProcesses: this.peakProcesses,
      exact: usage.exact,
    });
  }

  private look(): TreeUsage {
    const usage = this.tree.usage();
    this.peakProcesses = Math.max(this.peakProcesses, usage.processes);
    return usage;
  }

  private lookAfter(ms: number): void {
    this.timer = systemClock.after(ms, () => {
      const start = performance.now();
      this.look();
      const cost = performance.now() - start;
      this.lookAfter(Math.max(Math.min(ms * 2, LONGEST_LOOK_MS), cost / MOST_SHARE));
    });
  }
}

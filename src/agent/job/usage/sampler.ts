import { create } from "@bufbuild/protobuf";
import { systemClock, type Timer } from "../../../base/clock.ts";
import {
  type GpuSample,
  type MetricSample,
  MetricSampleSchema,
  type ResourceUsage,
  ResourceUsageSchema,
} from "../../../gen/belay/v1/job_pb.ts";
import type { GpuSource } from "./gpu/gpu-source.ts";
import type { LimitFinder } from "./limits.ts";
import { NetworkMeter, type Traffic } from "./network.ts";
import type { ProcessIo } from "../tree/process-io.ts";
import type { ProcessTree, TreeUsage } from "../tree/tree.ts";

/** First look at a new job: even a short one is to have a peak. */
const FIRST_LOOK_MS = 20;
/** Looks become rarer up to this. */
const LONGEST_LOOK_MS = 3000;
/** Looking may take this share of the time: on a machine with thousands of processes looks are rarer. */
const MOST_SHARE = 1 / 200;

/** Where a sampler learns of what is not the tree's. */
export interface SamplerSources {
  readonly limits: LimitFinder;
  /** Enforced limit of the job's memory; 0: none. */
  readonly memoryLimitBytes: number;
  /** The graphics processors; the sampler starts and closes it. */
  readonly gpus: GpuSource;
}

/**
 * Measures what the tree uses, when asked and now and then by itself: peaks are only as true as the looks are many, and
 * without a cgroup each look also finds processes that later ones could not.
 */
export class Sampler {
  private readonly tree: ProcessTree;
  private readonly sources: SamplerSources;
  private readonly network = new NetworkMeter();
  private timer: Timer | undefined;
  private pause = FIRST_LOOK_MS;
  private peakProcesses = 0;
  private peakCores: number | undefined;
  private peakGpuMemory: bigint | undefined;
  private traffic: Traffic | undefined;
  private last: { cpuSeconds: number; at: number } | undefined;

  constructor(tree: ProcessTree, sources: SamplerSources) {
    this.tree = tree;
    this.sources = sources;
  }

  /** Begins to look by itself, densely at first. */
  start(): void {
    this.pause = FIRST_LOOK_MS;
    this.lookLater(0);
    this.sources.gpus.start();
  }

  /** Looks no more. Resolves when no process of its own is left, within about a second. */
  close(): Promise<void> {
    this.timer?.cancel();
    this.timer = undefined;
    return this.sources.gpus.close();
  }

  /** @param pid of the step's own process */
  sample(step: number, pid: number): MetricSample {
    const at = performance.now();
    const usage = this.look();
    const { pids, openFiles, disk, pressure } = this.tree.details();
    const gpus = this.sources.gpus.latest(pids);
    const limits = this.sources.limits.find();
    this.traffic = this.network.look(pid);
    const cores = this.coresSince(usage.cpuSeconds, at);
    this.lookLater(performance.now() - at);
    this.noteGpus(gpus);
    return create(MetricSampleSchema, {
      sampleUnixNano: systemClock.unixNano(),
      step,
      ...(cores === undefined ? {} : { cpuCores: cores }),
      cpuSeconds: usage.cpuSeconds,
      cpuLimitCores: limits.cores,
      memoryBytes: BigInt(usage.memoryBytes),
      memoryLimitBytes: BigInt(this.memoryLimit(limits.memoryBytes)),
      processes: usage.processes,
      ...(usage.threads === undefined ? {} : { threads: usage.threads }),
      ...(openFiles === undefined ? {} : { openFiles }),
      ...diskFields(disk),
      ...networkFields(this.traffic),
      ...(pressure.cpu === undefined ? {} : { cpuPressure: pressure.cpu }),
      ...(pressure.memory === undefined ? {} : { memoryPressure: pressure.memory }),
      ...(pressure.io === undefined ? {} : { ioPressure: pressure.io }),
      gpus,
      exact: usage.exact,
    });
  }

  /** What was used in all. */
  total(): ResourceUsage {
    const usage = this.look();
    const { disk } = this.tree.details();
    return create(ResourceUsageSchema, {
      cpuSeconds: usage.cpuSeconds,
      peakMemoryBytes: BigInt(usage.peakMemoryBytes),
      peakProcesses: this.peakProcesses,
      exact: usage.exact,
      ...(this.peakCores === undefined ? {} : { peakCpuCores: this.peakCores }),
      ...diskFields(disk),
      ...networkFields(this.traffic),
      ...(this.peakGpuMemory === undefined ? {} : { peakGpuMemoryBytes: this.peakGpuMemory }),
    });
  }

  private look(): TreeUsage {
    const usage = this.tree.usage();
    this.peakProcesses = Math.max(this.peakProcesses, usage.processes);
    return usage;
  }

  private coresSince(cpuSeconds: number, at: number): number | undefined {
    const before = this.last;
    // Two samples in one breath would divide by next to nothing.
    if (before !== undefined && at - before.at < 1) return undefined;
    this.last = { cpuSeconds, at };
    if (before === undefined) return undefined;
    const cores = Math.max(0, ((cpuSeconds - before.cpuSeconds) / (at - before.at)) * 1000);
    // A hundredth of a second, which is all that some kernels count, is much in a short time.
    if (at - before.at >= 100) this.peakCores = Math.max(this.peakCores ?? 0, cores);
    return cores;
  }

  private memoryLimit(found: number): number {
    const enforced = this.sources.memoryLimitBytes;
    return enforced > 0 && found > 0 ? Math.min(enforced, found) : enforced || found;
  }

  private noteGpus(gpus: readonly GpuSample[]): void {
    const known = gpus.map((gpu) => gpu.jobMemoryBytes).filter((bytes) => bytes !== undefined);
    if (known.length === 0) return;
    const sum = known.reduce((all, bytes) => all + bytes, 0n);
    if (this.peakGpuMemory === undefined || sum > this.peakGpuMemory) this.peakGpuMemory = sum;
  }

  /** @param cost milliseconds that the look just taken took */
  private lookLater(cost: number): void {
    this.timer?.cancel();
    this.timer = systemClock.after(Math.max(this.pause, cost / MOST_SHARE), () => {
      const start = performance.now();
      this.look();
      this.pause = Math.min(this.pause * 2, LONGEST_LOOK_MS);
      this.lookLater(performance.now() - start);
    });
  }
}

function diskFields(disk: ProcessIo | undefined): { diskReadBytes?: bigint; diskWrittenBytes?: bigint } {
  return disk === undefined ? {} : { diskReadBytes: BigInt(disk.read), diskWrittenBytes: BigInt(disk.written) };
}

function networkFields(traffic: Traffic | undefined): { networkReceivedBytes?: bigint; networkSentBytes?: bigint } {
  if (traffic === undefined) return {};
  return { networkReceivedBytes: BigInt(traffic.received), networkSentBytes: BigInt(traffic.sent) };
}

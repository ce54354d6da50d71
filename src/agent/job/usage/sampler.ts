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

/** Time before the first measurement of a new job: a short job must have a peak, too. */
const FIRST_PAUSE_MS = 20;
/** The pause between two measurements grows up to this. */
const LONGEST_PAUSE_MS = 3000;
/** Measuring may take this share of the time: on a machine with thousands of processes the pauses are longer. */
const MOST_SHARE = 1 / 200;

/** Sources of what the tree does not know. */
export interface SamplerSources {
  readonly limits: LimitFinder;
  /** Enforced limit of the job's memory; 0: no limit. */
  readonly memoryLimitBytes: number;
  /** The graphics processors. The sampler starts and closes this source. */
  readonly gpus: GpuSource;
}

/**
 * Measures what the tree uses, on request and at intervals by itself: the more measurements, the more exact the peaks,
 * and without a cgroup each one also finds processes that a later one could not.
 */
export class Sampler {
  private readonly tree: ProcessTree;
  private readonly sources: SamplerSources;
  private readonly network = new NetworkMeter();
  private timer: Timer | undefined;
  private pause = FIRST_PAUSE_MS;
  private peakProcesses = 0;
  private peakCores: number | undefined;
  /** Most memory since the sample before. */
  private recentMemory = 0;
  /** The tree's own peak at the sample before. */
  private peakMemory = 0;
  private peakGpuMemory: bigint | undefined;
  private traffic: Traffic | undefined;
  private last: { cpuSeconds: number; at: number } | undefined;

  constructor(tree: ProcessTree, sources: SamplerSources) {
    this.tree = tree;
    this.sources = sources;
  }

  /** Starts to measure by itself, at short intervals first. */
  start(): void {
    this.pause = FIRST_PAUSE_MS;
    this.measureLater(0);
    this.sources.gpus.start();
  }

  /** Stops measuring. Resolves when no process of the sampler is left, within about a second. */
  close(): Promise<void> {
    this.timer?.cancel();
    this.timer = undefined;
    return this.sources.gpus.close();
  }

  /** @param pid of the step's own process */
  sample(step: number, pid: number): MetricSample {
    const start = performance.now();
    const usage = this.measure();
    // One moment for both clocks: with a later one, an average between two samples would not be that of their times.
    const at = performance.now();
    const sampleUnixNano = systemClock.unixNano();
    const { pids, openFiles, disk, pressure } = this.tree.details();
    const gpus = this.sources.gpus.latest(pids);
    const limits = this.sources.limits.find();
    this.traffic = this.network.read(pid);
    const cores = this.coresSince(usage.cpuSeconds, at);
    this.measureLater(performance.now() - start);
    this.noteGpus(gpus);
    return create(MetricSampleSchema, {
      sampleUnixNano,
      step,
      ...(cores === undefined ? {} : { cpuCores: cores }),
      cpuSeconds: usage.cpuSeconds,
      cpuLimitCores: limits.cores,
      memoryBytes: BigInt(usage.memoryBytes),
      peakMemoryBytes: BigInt(this.takePeakMemory(usage)),
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

  /** What the job has used in total. */
  total(): ResourceUsage {
    const usage = this.measure();
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

  private measure(): TreeUsage {
    const usage = this.tree.usage();
    this.peakProcesses = Math.max(this.peakProcesses, usage.processes);
    this.recentMemory = Math.max(this.recentMemory, usage.memoryBytes);
    return usage;
  }

  /** A peak of the whole job that has grown since the sample before was reached since then. */
  private takePeakMemory({ memoryBytes, peakMemoryBytes }: TreeUsage): number {
    const peak = peakMemoryBytes > this.peakMemory ? peakMemoryBytes : this.recentMemory;
    this.peakMemory = Math.max(this.peakMemory, peakMemoryBytes);
    const most = Math.max(peak, this.recentMemory, memoryBytes);
    this.recentMemory = 0;
    return most;
  }

  private coresSince(cpuSeconds: number, at: number): number | undefined {
    const before = this.last;
    // Two samples within a millisecond would divide by almost 0.
    if (before !== undefined && at - before.at < 1) return undefined;
    this.last = { cpuSeconds, at };
    if (before === undefined) return undefined;
    const cores = Math.max(0, ((cpuSeconds - before.cpuSeconds) / (at - before.at)) * 1000);
    // Processor time may come in hundredths of a second: too coarse for a peak over less time than this.
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

  /** @param cost milliseconds that the last measurement took */
  private measureLater(cost: number): void {
    this.timer?.cancel();
    this.timer = systemClock.after(Math.max(this.pause, cost / MOST_SHARE), () => {
      const start = performance.now();
      this.measure();
      this.pause = Math.min(this.pause * 2, LONGEST_PAUSE_MS);
      this.measureLater(performance.now() - start);
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

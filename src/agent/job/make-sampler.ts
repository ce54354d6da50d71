import type { CompiledSpec } from "./compile-spec.ts";
import type { PreparedJob } from "./start/prepare.ts";
import type { JobOptions } from "./types.ts";
import { GpuSource, gpuEnvironment } from "./usage/gpu/gpu-source.ts";
import { LimitFinder } from "./usage/limits.ts";
import { Sampler } from "./usage/sampler.ts";

/** Makes what measures a job. Limits the job's memory first, so that the limit that is reported is the one that holds. */
export function makeSampler({ environment, logger }: JobOptions, spec: CompiledSpec, prepared: PreparedJob): Sampler {
  const { memoryLimitBytes, metricsInterval: interval } = spec;
  const unlimited = memoryLimitBytes > 0 ? prepared.tree.limitMemory(memoryLimitBytes) : undefined;
  return new Sampler(prepared.tree, {
    limits: new LimitFinder(prepared.cgroup, prepared.memoryCgroup),
    memoryLimitBytes: unlimited === undefined ? memoryLimitBytes : 0,
    gpus: new GpuSource({ environment: gpuEnvironment(environment), logger, interval }),
  });
}

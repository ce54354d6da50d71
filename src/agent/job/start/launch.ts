import fs from "node:fs";
import { signalNumber } from "../../../base/process/signals.ts";
import { workingDirectory } from "../../../base/files/directories.ts";
import type { CompiledSpec, Step } from "../compile-spec.ts";
import { stepEnvironment } from "./environment.ts";
import { inheritStart } from "./inherit.ts";
import type { PreparedJob } from "./prepare.ts";
import { type SpawnedProcess, spawnStep } from "./spawn.ts";
import { SpawnProblem } from "./spawn-problem.ts";
import type { JobOptions } from "../types.ts";

/** A step whose process has been started. */
export interface Launched {
  readonly step: Step;
  readonly process: SpawnedProcess;
  /** By the monotonic clock. */
  readonly start: number;
  /** Read ends of its pipes. */
  readonly stdout: number;
  readonly stderr: number;
}

/**
 * Starts the process of a step, with pipes of its own.
 *
 * @param mayStart called at the last moment
 * @returns why it could not be started; undefined: `mayStart` returned false
 */
export async function launchStep(
  step: Step,
  spec: CompiledSpec,
  options: JobOptions,
  prepared: PreparedJob,
  mayStart: () => boolean,
): Promise<Launched | SpawnProblem | undefined> {
  const { pipes, tree, cookie } = prepared;
  const stdout = await pipes.take();
  const stderr = await pipes.take();
  if (!mayStart()) {
    for (const { readEnd, writeEnd } of [stdout, stderr]) closeAll(readEnd, writeEnd);
    return undefined;
  }
  const environment = stepEnvironment({
    base: options.environment,
    ...(options.traceEnvironment === undefined ? {} : { trace: options.traceEnvironment }),
    ...(options.tracker === undefined ? {} : { tracker: options.tracker }),
    spec: spec.environment,
    own: options.ownEnvironment ?? {},
    cwd: spec.cwd ?? workingDirectory(),
    jobId: options.jobId,
    attempt: options.attempt,
    step: step.number,
    cookie,
  });
  const { prefix, lost } = inheritStart(options.inherited, environment, [
    signalNumber(spec.stopSignal),
    signalNumber(spec.warning?.signal ?? ""),
  ]);
  if (lost !== "") options.logger.warn(`The job is started without what the agent was started with: ${lost}`);
  const start = performance.now();
  const spawned = await spawnStep({
    argv: step.argv,
    cwd: spec.cwd,
    environment,
    stdout: stdout.writeEnd,
    stderr: stderr.writeEnd,
    tree,
    prefix,
  }).finally(() => closeAll(stdout.writeEnd, stderr.writeEnd));
  if (spawned instanceof SpawnProblem) {
    closeAll(stdout.readEnd, stderr.readEnd);
    return spawned;
  }
  return { step, process: spawned, start, stdout: stdout.readEnd, stderr: stderr.readEnd };
}

function closeAll(...fds: number[]): void {
  for (const fd of fds) fs.closeSync(fd);
}

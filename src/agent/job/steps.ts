import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { systemClock } from "../../base/clock.ts";
import { LogStream } from "../../gen/belay/v1/job_pb.ts";
import { StepEndedSchema, StepStartedSchema } from "../../gen/belay/v1/tracker_service_pb.ts";
import type { CompiledSpec, Step } from "./compile-spec.ts";
import type { StepTimeouts } from "./end/step-timeouts.ts";
import type { JobOutput } from "./output/output.ts";
import { type Launched, launchStep } from "./start/launch.ts";
import type { PreparedJob } from "./start/prepare.ts";
import type { ExitStatus } from "./start/spawn.ts";
import { SpawnProblem } from "./start/spawn-problem.ts";
import { sendToGroup } from "./tree/deliver.ts";
import type { JobHandlers, JobOptions } from "./types.ts";
import type { Sampler } from "./usage/sampler.ts";

/** What is around the steps of a job. */
export interface StepsHost {
  readonly options: JobOptions;
  readonly spec: CompiledSpec;
  readonly prepared: PreparedJob;
  readonly handlers: JobHandlers;
  readonly output: JobOutput;
  readonly sampler: Sampler;
  readonly timeouts: StepTimeouts;
  /** Called when a step's process runs, before anything is reported of it. */
  readonly started: (step: Step) => void;
}

/** Starts the steps of a job one after the other, each with its output and its measurements, and reports them. */
export class JobSteps {
  private readonly host: StepsHost;
  private latest: Launched | undefined;
  private firstStart: number | undefined;
  /** Process groups of the steps of which something may be alive. */
  private readonly groups = new Set<number>();

  constructor(host: StepsHost) {
    this.host = host;
  }

  /** The step that was started last. Undefined: none was, or the job is over. */
  get running(): Launched | undefined {
    return this.latest;
  }

  /** When the first step was started, in milliseconds since the Unix epoch. Undefined: none was. */
  get startTime(): number | undefined {
    return this.firstStart;
  }

  /** Whether the main command runs. */
  get mainRuns(): boolean {
    return this.latest?.step.main === true && this.latest.process.exit === undefined;
  }

  /**
   * Starts a step.
   *
   * @param mayStart asked again just before its process is started
   * @param environment variables of this step alone
   * @returns undefined: it may not be started any more
   */
  async start(
    step: Step,
    mayStart: () => boolean,
    environment: Readonly<Record<string, string>> = {},
  ): Promise<Launched | SpawnProblem | undefined> {
    const { options, spec, prepared, handlers, output, sampler, timeouts } = this.host;
    this.firstStart ??= systemClock.unixMs();
    const ownEnvironment = { ...options.ownEnvironment, ...environment };
    const launched = await launchStep(step, spec, { ...options, ownEnvironment }, prepared, mayStart);
    if (launched === undefined || launched instanceof SpawnProblem) {
      if (this.latest === undefined) this.firstStart = undefined;
      return launched;
    }
    this.latest = launched;
    const { process, stdout, stderr } = launched;
    const isAfter = step.after !== undefined;
    // Of earlier groups nothing is left, or it may stay.
    if (isAfter) this.groups.clear();
    this.groups.add(process.pid);
    prepared.watcher.setGroups([...this.groups]);
    this.host.started(step);
    handlers.stepStarted(
      create(StepStartedSchema, {
        step: step.number,
        name: step.name,
        argv: [...step.argv],
        pid: process.pid,
        main: step.main,
        after: isAfter,
      }),
    );
    this.limitMemory(step);
    const outputEnded = (): void => process.outputEnded();
    output.add(LogStream.STDOUT, step.number, stdout, outputEnded);
    output.add(LogStream.STDERR, step.number, stderr, outputEnded);
    if (!isAfter) timeouts.started(step);
    sampler.start();
    // After everything that waits to be sent and read: nothing of the job's must wait for a measurement.
    setImmediate(() => this.reportUsage(launched));
    return launched;
  }

  /** Reports the end of a step. @param exit undefined: its process outlived SIGKILL */
  ended(launched: Launched, exit: ExitStatus | undefined): void {
    const { handlers, prepared } = this.host;
    handlers.stepEnded(
      create(StepEndedSchema, {
        step: launched.step.number,
        ...(exit?.code === undefined ? {} : { exitCode: exit.code }),
        signal: exit?.signal ?? "",
        duration: durationFromMs(Math.round(performance.now() - launched.start)),
      }),
    );
    this.reportUsage(launched);
    for (const group of this.groups) if (!sendToGroup(group, 0)) this.groups.delete(group);
    prepared.watcher.setGroups([...this.groups]);
  }

  /** The job is over. */
  close(): void {
    this.latest = undefined;
  }

  private reportUsage({ step, process }: Launched): void {
    const { handlers, sampler } = this.host;
    handlers.usage?.(sampler.sample(step.number, process.pid));
  }

  /** Sets the limit again now that a process runs under it: a kernel may refuse a limit that is exceeded already. */
  private limitMemory(step: Step): void {
    const { spec, prepared, handlers } = this.host;
    if (spec.memoryLimitBytes === 0) return;
    const problem = prepared.tree.limitMemory(spec.memoryLimitBytes);
    if (problem !== undefined) handlers.notice(step.number, `The memory limit is not enforced: ${problem}`);
  }
}

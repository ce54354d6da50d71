import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { systemClock } from "../../base/clock.ts";
import { BelayError, messageOf } from "../../base/errors.ts";
import {
  type Containment,
  EndReason,
  type JobResult,
  JobState,
  LogStream,
  type MetricSample,
  Outcome,
  type ResourceUsage,
} from "../../gen/belay/v1/job_pb.ts";
import { StepEndedSchema, StepStartedSchema } from "../../gen/belay/v1/tracker_service_pb.ts";
import { argumentsProblem } from "./start/argument-limits.ts";
import { Closing } from "./end/closing.ts";
import { type CompiledSpec, compileSpec, type Step } from "./compile-spec.ts";
import { sendToGroup } from "./tree/deliver.ts";
import { GpuSource, gpuEnvironment } from "./usage/gpu/gpu-source.ts";
import { Ladder, type TreeEnd } from "./end/ladder.ts";
import { type Launched, launchStep } from "./start/launch.ts";
import { LimitFinder } from "./usage/limits.ts";
import { countOomKillsAround } from "./tree/memory-control.ts";
import { Output } from "./output/output.ts";
import { prepareJob, type PreparedJob } from "./start/prepare.ts";
import { countProcesses, describeProcesses, listProcesses } from "./tree/process-info.ts";
import { makeEvidence, makeResult } from "./end/result.ts";
import { Sampler } from "./usage/sampler.ts";
import { parseSignal } from "./tree/signals.ts";
import type { ExitStatus } from "./start/spawn.ts";
import { SpawnProblem } from "./start/spawn-problem.ts";
import { StepTimeouts } from "./end/step-timeouts.ts";
import type { EndOrder, Job, JobHandlers, JobOptions, JobStatus, SignalSource } from "./types.ts";
import { describeStep, naturalVerdict, orderedVerdict, spawnVerdict, type Verdict } from "./end/verdict.ts";
import { stateName } from "../../contract/names.ts";
import { endState } from "../../contract/states.ts";

/**
 * Starts a job. Nothing of it has run yet when this returns; handlers are called later.
 *
 * @throws BelayError `BAD_SPEC` when the spec cannot be run, `BAD_USAGE` when the containment cannot be had
 */
export function startJob(options: JobOptions, handlers: JobHandlers): Job {
  const spec = compileSpec(options.spec);
  const prepared = options.prepared ?? prepareJob(options);
  return new JobRun(options, spec, prepared, handlers);
}

/** What was found when everything was over. */
interface Closed {
  readonly end: TreeEnd;
  readonly usage: ResourceUsage;
  readonly outputCut: boolean;
}

/** An end that was ordered, under way or done. */
interface OrderedEnd {
  readonly order: EndOrder;
  readonly askTime: number;
  readonly tree: Promise<TreeEnd>;
}

/**
 * One job on its way: PENDING → SETTING_UP (when there is setup) → RUNNING ⇄ PAUSED → ended; CANCELING from the first
 * order on. What decides the end is kept in one of two places, whichever is set first: `ordered` or `natural`.
 */
class JobRun implements Job {
  readonly containment: Containment;
  readonly containmentMessage: string;
  readonly done: Promise<JobResult>;
  private current: JobState = JobState.PENDING;
  private running: Launched | undefined;
  private ordered: OrderedEnd | undefined;
  private natural: Verdict | undefined;
  private ladder: Ladder | undefined;
  /** Aborted by the first order. */
  private readonly ending = new AbortController();
  private readonly output: Output;
  private readonly closing: Closing;
  private readonly sampler: Sampler;
  private readonly timeouts: StepTimeouts;
  private readonly groups = new Set<number>();
  private readonly signalsSent = new Map<string, SignalSource>();
  private readonly oomKillsAround = countOomKillsAround();
  private startTime: number | undefined;
  private pausedSince: number | undefined;
  private pausedMs = 0;
  private readonly options: JobOptions;
  private readonly spec: CompiledSpec;
  private readonly prepared: PreparedJob;
  private readonly handlers: JobHandlers;

  constructor(options: JobOptions, spec: CompiledSpec, prepared: PreparedJob, handlers: JobHandlers) {
    this.options = options;
    this.spec = spec;
    this.prepared = prepared;
    this.handlers = handlers;
    this.containment = prepared.containment;
    this.containmentMessage = prepared.message;
    this.output = new Output(handlers);
    this.closing = new Closing(prepared.tree, this.output, prepared.pipes.directory, spec.grace);
    this.timeouts = new StepTimeouts(spec, (message) => this.end({ reason: EndReason.TIMED_OUT, message }));
    const { memoryLimitBytes } = spec;
    const unlimited = memoryLimitBytes > 0 ? prepared.tree.limitMemory(memoryLimitBytes) : undefined;
    this.sampler = new Sampler(prepared.tree, {
      limits: new LimitFinder(prepared.cgroup, prepared.memoryCgroup),
      memoryLimitBytes: unlimited === undefined ? memoryLimitBytes : 0,
      gpus: new GpuSource({
        environment: gpuEnvironment(options.environment),
        logger: options.logger,
        interval: spec.metricsInterval,
      }),
    });
    prepared.pipes.provide(spec.steps.length * 2);
    this.done = this.run();
  }

  get state(): JobState {
    return this.current;
  }

  end(order: EndOrder): void {
    if (this.ordered !== undefined || this.natural !== undefined) {
      // Too late to be the cause; what is still to be ended may end sooner.
      const grace = order.grace ?? this.spec.grace;
      this.ladder?.shorten(grace);
      this.closing.shorten(grace);
      return;
    }
    const { running } = this;
    if (running?.process.hasEnded() === true) {
      // It ended before any signal of ours: that stands, if it decides the job. Node may not have told us yet.
      if (running.process.exit === undefined) {
        void running.process.exited.then(() => this.end(order));
        return;
      }
      if (running.step.main || running.process.exit.code !== 0) {
        this.closing.shorten(order.grace ?? this.spec.grace);
        return;
      }
    }
    this.ladder = new Ladder(this.prepared.tree, order.grace ?? this.spec.grace);
    this.leavePause();
    this.ordered = { order, askTime: systemClock.unixMs(), tree: this.ladder.climb(this.spec.stopSignal) };
    this.ending.abort();
    this.handlers.ending?.();
    this.setState(JobState.CANCELING, order.message);
  }

  async signal(name: string, source: SignalSource = "command"): Promise<number> {
    const signal = parseSignal(name, "signal");
    this.mustRun("signal", [JobState.SETTING_UP, JobState.RUNNING, JobState.PAUSED, JobState.CANCELING]);
    this.signalsSent.set(signal, source);
    return this.prepared.tree.signal(signal);
  }

  async pause(): Promise<void> {
    this.mustRun("pause", [JobState.RUNNING]);
    this.pausedSince = performance.now();
    this.timeouts.pause();
    this.setState(JobState.PAUSED, "");
    await this.prepared.tree.freeze();
  }

  async resume(): Promise<void> {
    this.mustRun("resume", [JobState.PAUSED]);
    this.leavePause();
    this.timeouts.resume();
    this.prepared.tree.thaw();
    this.setState(JobState.RUNNING, "");
  }

  status(): Promise<JobStatus> {
    const members = this.running === undefined ? [] : this.prepared.tree.members();
    return Promise.resolve({
      state: this.current,
      step: this.running?.step.number ?? 0,
      pid: this.running?.process.pid ?? 0,
      stepDuration: this.running === undefined ? 0 : Math.round(performance.now() - this.running.start),
      processes: describeProcesses(members),
      processCount: members.length,
      endReason: this.ordered?.order.reason ?? EndReason.UNSPECIFIED,
    });
  }

  sample(): Promise<MetricSample | undefined> {
    const { running } = this;
    return Promise.resolve(
      running === undefined ? undefined : this.sampler.sample(running.step.number, running.process.pid),
    );
  }

  resumeOutput(): void {
    this.output.resume();
  }

  private async run(): Promise<JobResult> {
    let verdict: Verdict;
    try {
      verdict = await this.runSteps();
    } catch (error) {
      verdict = this.failure(error);
    }
    if (this.ordered === undefined) {
      this.natural = verdict;
      this.handlers.ending?.();
    }
    this.timeouts.cancel();
    try {
      return await this.finish(verdict);
    } finally {
      const measured = this.sampler.close();
      this.running = undefined;
      this.output.close();
      await this.handlers.outputEnded?.();
      await Promise.all([this.prepared.close(), measured]);
      this.current = endState(verdict.outcome);
    }
  }

  private async runSteps(): Promise<Verdict> {
    for (const step of this.spec.steps) {
      const problem = argumentsProblem(step.argv, this.spec.environment);
      if (problem !== undefined) return spawnVerdict(step, problem);
    }
    let last: { step: Step; exit: ExitStatus | undefined } | undefined;
    for (const step of this.spec.steps) {
      const started = this.ordered === undefined ? await this.startStep(step) : undefined;
      if (started instanceof SpawnProblem) return spawnVerdict(step, started);
      if (started === undefined) break;
      const exit = await this.stepExit(started);
      last = { step, exit };
      this.tellEnded(started, exit);
      if (this.ordered !== undefined || exit === undefined) break;
      if (step.main || exit.code !== 0) return (this.natural = this.naturalVerdict(step, exit));
      // All of a step's output comes before the next step's.
      await this.output.drain(this.ending.signal);
      await this.handlers.stepOver?.();
    }
    if (this.ordered === undefined) throw new BelayError("INTERNAL", "Job came to no end");
    await this.ordered.tree;
    return orderedVerdict(this.ordered.order, last?.step.number ?? 0, last?.exit);
  }

  /** Starts a step; undefined: the job was to end before it could. */
  private async startStep(step: Step): Promise<Launched | SpawnProblem | undefined> {
    this.startTime ??= systemClock.unixMs();
    const launched = await launchStep(step, this.spec, this.options, this.prepared, () => this.ordered === undefined);
    if (launched === undefined || launched instanceof SpawnProblem) {
      if (this.running === undefined) this.startTime = undefined;
      return launched;
    }
    this.running = launched;
    const { process, stdout, stderr } = launched;
    this.groups.add(process.pid);
    this.prepared.watcher.setGroups([...this.groups]);
    if (this.current !== JobState.CANCELING) this.setState(step.main ? JobState.RUNNING : JobState.SETTING_UP, "");
    this.handlers.stepStarted(
      create(StepStartedSchema, {
        step: step.number,
        name: step.name,
        argv: [...step.argv],
        pid: process.pid,
        main: step.main,
      }),
    );
    this.limitMemory(step);
    const outputEnded = (): void => process.outputEnded();
    this.output.add(LogStream.STDOUT, step.number, stdout, outputEnded);
    this.output.add(LogStream.STDERR, step.number, stderr, outputEnded);
    this.timeouts.started(step);
    this.sampler.start();
    // After all that is waiting to be sent and read: nothing of the job's is to wait for a measurement.
    setImmediate(() => this.tellUsage(launched));
    return this.running;
  }

  /** How the step's process ended; undefined when it outlived SIGKILL. */
  private async stepExit({ process }: Launched): Promise<ExitStatus | undefined> {
    const outlived = new Promise<undefined>((resolve) => {
      this.ending.signal.addEventListener("abort", () => {
        void this.ordered?.tree.then((end) => {
          if (end.survivors.length > 0) resolve(undefined);
        });
      });
    });
    const exit = await Promise.race([process.exited, outlived]);
    this.ladder?.look();
    return exit;
  }

  private tellEnded(running: Launched, exit: ExitStatus | undefined): void {
    this.handlers.stepEnded(
      create(StepEndedSchema, {
        step: running.step.number,
        ...(exit?.code === undefined ? {} : { exitCode: exit.code }),
        signal: exit?.signal ?? "",
        duration: durationFromMs(Math.round(performance.now() - running.start)),
      }),
    );
    this.tellUsage(running);
    for (const group of this.groups) if (!sendToGroup(group, 0)) this.groups.delete(group);
    this.prepared.watcher.setGroups([...this.groups]);
  }

  private tellUsage({ step, process }: Launched): void {
    this.handlers.usage?.(this.sampler.sample(step.number, process.pid));
  }

  /** Makes sure of the limit now that something runs under it: a kernel may refuse one that is exceeded already. */
  private limitMemory(step: Step): void {
    const { memoryLimitBytes } = this.spec;
    if (memoryLimitBytes === 0) return;
    const problem = this.prepared.tree.limitMemory(memoryLimitBytes);
    if (problem !== undefined) this.handlers.notice(step.number, `The memory limit is not enforced: ${problem}`);
  }

  private naturalVerdict(step: Step, exit: ExitStatus): Verdict {
    return naturalVerdict(step, exit, {
      oomKills: this.prepared.tree.oomKills(),
      oomKillsAround: this.oomKillsAround(),
      signalsSent: this.signalsSent,
    });
  }

  private failure(error: unknown): Verdict {
    const message = `The agent failed: ${messageOf(error)}`;
    this.options.logger.error(message);
    return {
      outcome: Outcome.FAILED,
      reason: EndReason.AGENT_FAILED,
      message,
      step: this.running?.step.number ?? 0,
    };
  }

  /** Ends what is left, reads the output to its end and puts the result together. */
  private async finish(verdict: Verdict): Promise<JobResult> {
    const askTime = this.ordered?.askTime ?? systemClock.unixMs();
    const { end, usage, outputCut } = this.keeps() ? await this.letGo() : await this.endAll();
    this.leavePause();
    const forced = this.ordered !== undefined || end.rounds.length > 0 || outputCut;
    return makeResult({
      verdict,
      survivors: end.survivors,
      startTime: this.startTime,
      endTime: end.emptyTime ?? systemClock.unixMs(),
      usage,
      pausedMs: this.pausedMs,
      evidence: forced
        ? makeEvidence(askTime, this.ordered?.order.commandId, end, outputCut, this.containment)
        : undefined,
    });
  }

  /** Whether what is left is to be left alone: only when the main command came to its end by itself. */
  private keeps(): boolean {
    return this.spec.keepDescendants && this.ordered === undefined && this.running?.step.main === true;
  }

  private async letGo(): Promise<Closed> {
    const usage = this.sampler.total();
    await this.output.drain(new AbortController().signal);
    this.output.close();
    this.prepared.tree.release();
    return { end: { rounds: [], emptyTime: systemClock.unixMs(), survivors: [] }, usage, outputCut: false };
  }

  private async endAll(): Promise<Closed> {
    const { closing } = this;
    const force = (): void => this.noticeLeftovers();
    const first = this.ordered === undefined ? await closing.endLeftovers(force) : await this.ordered.tree;
    const end = await closing.endHolders(first, force);
    const usage = this.sampler.total();
    return { end, usage, outputCut: await closing.finishOutput() };
  }

  private noticeLeftovers(): void {
    const { running } = this;
    if (this.ordered !== undefined || running === undefined) return;
    const left = this.prepared.tree.members();
    if (left.length === 0) return;
    const what = `${countProcesses(left)} behind, which the agent ends: ${listProcesses(left)}`;
    this.handlers.notice(running.step.number, `${describeStep(running.step)} left ${what}`);
  }

  private setState(state: JobState, message: string): void {
    if (this.current === state) return;
    this.current = state;
    this.handlers.state(state, message);
  }

  private leavePause(): void {
    if (this.pausedSince !== undefined) this.pausedMs += performance.now() - this.pausedSince;
    this.pausedSince = undefined;
  }

  private mustRun(verb: string, states: readonly JobState[]): void {
    const ended = this.natural !== undefined || this.running === undefined;
    if (states.includes(this.current) && !ended) return;
    const state = this.natural === undefined ? this.current : endState(this.natural.outcome);
    throw new BelayError("BAD_USAGE", `Cannot ${verb} job "${this.options.jobId}": it is ${stateName(state)}`);
  }
}

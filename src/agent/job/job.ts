// Longer than 300 lines: all that changes a job's state, or depends on it, is in one class, so that the order of events
// can be read in one place. What comes before and after the steps is elsewhere: `prepareJob`, `finishJob`.
import { sleep, systemClock } from "../../base/clock.ts";
import { BelayError, messageOf } from "../../base/errors.ts";
import {
  type AfterStepResult,
  type Containment,
  EndReason,
  type JobResult,
  JobState,
  type MetricSample,
  Outcome,
} from "../../gen/belay/v1/job_pb.ts";
import { AfterOrders } from "./after/after-orders.ts";
import type { AfterHost } from "./after/after-step.ts";
import type { runAfterSteps } from "./after/after-steps.ts";
import { argumentsProblem } from "./start/argument-limits.ts";
import { Cause } from "./cause.ts";
import { Closing } from "./end/closing.ts";
import { END_TIMING, type EndTiming } from "./end/end-timing.ts";
import { type CompiledSpec, compileSpec, type Step } from "./compile-spec.ts";
import { Ladder, type TreeEnd } from "./end/ladder.ts";
import type { Launched } from "./start/launch.ts";
import { countOomKillsAround } from "./tree/memory-control.ts";
import { JobOutput } from "./output/output.ts";
import { PauseClock } from "./pause-clock.ts";
import { prepareJob, type PreparedJob } from "./start/prepare.ts";
import { describeProcesses } from "./tree/process-info.ts";
import { finishJob } from "./finish.ts";
import { makeSampler } from "./make-sampler.ts";
import { JobSteps } from "./steps.ts";
import type { Sampler } from "./usage/sampler.ts";
import { planRungs, type Rungs } from "./end/rungs.ts";
import { parseSignal } from "./tree/signals.ts";
import type { ExitStatus } from "./start/spawn.ts";
import { SpawnProblem } from "./start/spawn-problem.ts";
import { stopWait } from "./end/stop-window.ts";
import { StepTimeouts } from "./end/step-timeouts.ts";
import type { EndOrder, Job, JobHandlers, JobOptions, JobStatus, OwnEnd, SignalSource, Vitals } from "./types.ts";
import { naturalVerdict, orderedVerdict, spawnVerdict, stoppedVerdict, type Verdict } from "./end/verdict.ts";
import { Warning } from "./end/warning.ts";
import { stateName } from "../../contract/names.ts";
import { afterStepsNotRun } from "../../contract/script-steps.ts";
import { endState, isEnded } from "../../contract/states.ts";

/**
 * Starts a job. No process of it runs yet when this returns; handlers are called later.
 *
 * @throws BelayError `BAD_SPEC` when the spec cannot be run, `BAD_USAGE` when the containment is not available
 */
export function startJob(options: JobOptions, handlers: JobHandlers, timing: EndTiming = END_TIMING): Job {
  const spec = compileSpec(options.spec);
  const prepared = options.prepared ?? prepareJob(options);
  return new JobRun(options, spec, prepared, handlers, timing);
}

/**
 * One run of a job: PENDING → SETTING_UP (when there is setup) → RUNNING ⇄ PAUSED → ended; CANCELING from the first
 * order on. `cause` holds what decides the end.
 */
class JobRun implements Job {
  readonly containment: Containment;
  readonly containmentMessage: string;
  readonly done: Promise<JobResult>;
  ownEnd: OwnEnd | undefined;
  private current: JobState = JobState.PENDING;
  private readonly steps: JobSteps;
  private readonly cause = new Cause();
  private ladder: Ladder | undefined;
  /** How the job ended by itself, also while a stop of the agent may still turn out to be the cause. */
  private ownVerdict: Verdict | undefined;
  /** When nothing was left of a job that ended by itself: the wait for a stop of the agent is not part of its time. */
  private emptyTime: number | undefined;
  private readonly pauses = new PauseClock();
  private readonly output: JobOutput;
  private readonly closing: Closing;
  private readonly sampler: Sampler;
  private readonly timeouts: StepTimeouts;
  private readonly warning: Warning;
  private readonly signalsSent = new Map<string, SignalSource>();
  private readonly oomKillsAround = countOomKillsAround();
  private readonly afterOrders: AfterOrders;
  /** Loaded while the job runs: what was installed then may be gone at its end. Undefined: there are no such steps. */
  private readonly afterSteps: Promise<typeof runAfterSteps> | undefined;
  private readonly options: JobOptions;
  private readonly spec: CompiledSpec;
  private readonly prepared: PreparedJob;
  private readonly handlers: JobHandlers;
  private readonly timing: EndTiming;

  constructor(
    options: JobOptions,
    spec: CompiledSpec,
    prepared: PreparedJob,
    handlers: JobHandlers,
    timing: EndTiming,
  ) {
    this.options = options;
    this.spec = spec;
    this.prepared = prepared;
    this.handlers = handlers;
    this.timing = timing;
    this.containment = prepared.containment;
    this.containmentMessage = prepared.message;
    this.output = new JobOutput(handlers);
    const { tree, pipes } = prepared;
    this.closing = new Closing({ tree, output: this.output, pipes: pipes.directory, grace: spec.grace, timing });
    this.timeouts = new StepTimeouts(spec, {
      warn: () => {
        if (this.cause.first === undefined && this.steps.mainRuns) this.warning.beforeTimeout();
      },
      expired: (message) => this.end({ reason: EndReason.TIMED_OUT, message }),
    });
    const sent = (sentence: string): void => this.warned(sentence);
    this.warning = new Warning({ spec, tree, pauses: this.pauses, sent });
    this.sampler = makeSampler(options, spec, prepared);
    const { output, sampler, timeouts } = this;
    const started = (step: Step): void => this.stepStarted(step);
    this.steps = new JobSteps({ options, spec, prepared, handlers, output, sampler, timeouts, started });
    prepared.pipes.provide(spec.steps.length * 2);
    this.afterOrders = new AfterOrders({ grace: spec.grace, stopBudget: options.stopBudget });
    if (spec.after.length > 0) {
      this.afterSteps = import("./after/after-steps.ts").then((room) => room.runAfterSteps);
      this.afterSteps.catch(() => undefined);
    }
    this.done = this.run();
  }

  get state(): JobState {
    return this.current;
  }

  end(order: EndOrder): void {
    const grace = order.grace ?? this.spec.grace;
    if (this.cause.first !== undefined) {
      // Too late to be the cause, but what has not ended yet may end sooner.
      this.ladder?.shorten(this.rungsOf(order));
      this.closing.shorten(grace);
      this.orderLate(order);
      return;
    }
    const { running } = this.steps;
    if (running?.process.hasEnded() === true) {
      // The process ended before Belay sent a signal: that decides unless a step follows. Node may report it later.
      if (running.process.exit === undefined) {
        void running.process.exited.then(() => this.end(order));
        return;
      }
      const decides = running.step.main || running.process.exit.code !== 0;
      if (decides && !(this.options.mayBeStopped === true && order.reason === EndReason.AGENT_STOPPED)) {
        this.closing.shorten(grace);
        this.orderLate(order);
        return;
      }
    }
    this.pauses.end();
    const rungs = this.rungsOf(order);
    const ladder = (this.ladder = new Ladder(this.prepared.tree, rungs, this.timing));
    this.cause.order(order, () => ladder.climb(this.spec.stopSignal, () => this.warning.beforeStop(rungs.stop)));
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
    this.pauses.begin();
    this.timeouts.pause();
    this.afterOrders.pause();
    this.setState(JobState.PAUSED, "");
    await this.prepared.tree.freeze();
  }

  async resume(): Promise<void> {
    this.mustRun("resume", [JobState.PAUSED]);
    this.pauses.end();
    this.timeouts.resume();
    this.prepared.tree.thaw();
    this.afterOrders.resume();
    this.setState(JobState.RUNNING, "");
  }

  status(): Promise<JobStatus> {
    const members = this.steps.running === undefined ? [] : this.prepared.tree.members();
    return Promise.resolve({
      state: this.current,
      step: this.steps.running?.step.number ?? 0,
      pid: this.steps.running?.process.pid ?? 0,
      stepDuration: this.steps.running === undefined ? 0 : Math.round(performance.now() - this.steps.running.start),
      processes: describeProcesses(members),
      processCount: members.length,
      endReason: this.cause.ordered?.order.reason ?? EndReason.UNSPECIFIED,
    });
  }

  sample(): Promise<MetricSample | undefined> {
    const { running } = this.steps;
    return Promise.resolve(
      running === undefined ? undefined : this.sampler.sample(running.step.number, running.process.pid),
    );
  }

  resumeOutput(): void {
    this.output.resume();
  }

  vitals(): Vitals {
    const { tree } = this.prepared;
    return {
      outputSilence: this.output.stillFor,
      cpuSeconds: () => tree.usage().cpuSeconds,
      members: () => tree.members(),
    };
  }

  private async run(): Promise<JobResult> {
    let verdict: Verdict;
    try {
      verdict = await this.runSteps();
    } catch (error) {
      verdict = this.failure(error);
    }
    this.endsNaturally(verdict);
    this.timeouts.cancel();
    try {
      const { spec, prepared, handlers, cause, output, closing, sampler, pauses, warning } = this;
      const { running, startTime } = this.steps;
      const runAfter = (end: TreeEnd): Promise<AfterStepResult[]> => this.runAfter(verdict, end);
      return await finishJob(
        { runAfter, spec, prepared, handlers, cause, output, closing, sampler, pauses, warning },
        { verdict, running, startTime, emptyTime: this.emptyTime },
      );
    } finally {
      const measured = this.sampler.close();
      this.steps.close();
      this.output.close();
      await this.handlers.outputEnded?.();
      await Promise.all([this.prepared.close(), measured]);
      this.setState(endState(verdict.outcome), "");
    }
  }

  private async runSteps(): Promise<Verdict> {
    for (const step of [...this.spec.steps, ...this.spec.after]) {
      const problem = argumentsProblem(step.argv, this.spec.environment);
      if (problem !== undefined) return spawnVerdict(step, problem);
    }
    let last: { step: Step; exit: ExitStatus | undefined } | undefined;
    for (const step of this.spec.steps) {
      const mayStart = (): boolean => this.cause.ordered === undefined;
      const started = mayStart() ? await this.steps.start(step, mayStart) : undefined;
      if (started instanceof SpawnProblem) return spawnVerdict(step, started);
      if (started === undefined) break;
      const exit = await this.stepExit(started);
      last = { step, exit };
      this.steps.ended(started, exit);
      if (this.cause.ordered !== undefined || exit === undefined) break;
      if (step.main || exit.code !== 0) return await this.endedByItself(started, exit);
      // All of a step's output comes before the next step's.
      await this.output.drain(this.cause.orderSignal);
      await this.handlers.stepOver?.();
    }
    const { ordered } = this.cause;
    if (ordered === undefined) throw new BelayError("INTERNAL", "No step decided the job's result");
    await ordered.tree;
    return orderedVerdict(ordered.order, last?.step.number ?? 0, last?.exit);
  }

  /** An order that comes when the end is decided concerns only the steps after the end. */
  private orderLate(order: EndOrder): void {
    if (!this.afterOrders.order(order, this.cause.ordered === undefined)) return;
    this.pauses.end();
    this.prepared.tree.thaw();
    this.setState(JobState.CANCELING, order.message);
  }

  private async runAfter(verdict: Verdict, { survivors }: TreeEnd): Promise<AfterStepResult[]> {
    const { spec, prepared, output, handlers, timing, signalsSent, afterOrders: orders } = this;
    const host: AfterHost = {
      spec,
      prepared,
      output,
      handlers,
      timing,
      signalsSent,
      orders,
      start: (step, environment) => this.steps.start(step, () => orders.mayStart, environment),
      ended: (launched, exit) => this.steps.ended(launched, exit),
    };
    const order = this.cause.ordered?.order;
    try {
      const run = await this.afterSteps;
      return (await run?.(host, { verdict, order, started: this.steps.running !== undefined, survivors })) ?? [];
    } catch (error) {
      return afterStepsNotRun(this.options.spec, this.failure(error).message);
    }
  }

  /** The verdict on a step that has decided the end: its own, or that of a stop of the agent that comes with it. */
  private async endedByItself({ step, start }: Launched, exit: ExitStatus): Promise<Verdict> {
    const own = (this.ownVerdict = this.naturalVerdict(step, exit));
    // Proven by the kernel: not the doing of a signal.
    if (this.options.mayBeStopped === true && own.reason !== EndReason.OOM_KILLED) {
      if (this.prepared.tree.isEmpty()) this.emptyTime = systemClock.unixMs();
      await sleep(stopWait(exit, performance.now() - start, this.timing.stopWindow), this.cause.orderSignal);
    }
    const { ordered } = this.cause;
    if (ordered === undefined) return this.endsNaturally(own);
    await ordered.tree;
    return stoppedVerdict(ordered.order, ordered.askTime, own);
  }

  /** Keeps the verdict as the cause of the end, unless an order came first. */
  private endsNaturally(verdict: Verdict): Verdict {
    if (this.cause.natural(verdict)) this.handlers.ending?.();
    return verdict;
  }

  private stepStarted(step: Step): void {
    if (this.current === JobState.CANCELING) return;
    this.setState(step.main || step.after !== undefined ? JobState.RUNNING : JobState.SETTING_UP, "");
  }

  /** How the step's process ended. Undefined: it outlived SIGKILL. The order to end it may be older than this call. */
  private async stepExit({ process }: Launched): Promise<ExitStatus | undefined> {
    const outlived = new Promise<undefined>((resolve) => {
      void this.cause.whenOrdered
        .then(({ tree }) => tree)
        .then(({ survivors }) => {
          if (survivors.length > 0) resolve(undefined);
        });
    });
    const exit = await Promise.race([process.exited, outlived]);
    this.ladder?.stepEnded();
    return exit;
  }

  /** When each signal of an end is sent. Only the main command is warned, and before its timeout it has been. */
  private rungsOf({ reason, grace: bound }: EndOrder): Rungs {
    const warning = this.steps.mainRuns && reason !== EndReason.TIMED_OUT ? this.warning.left : 0;
    return planRungs({ bound, grace: this.spec.grace, warning });
  }

  private warned(sentence: string): void {
    this.signalsSent.set(this.spec.warning?.signal ?? "", "warning");
    this.handlers.notice(this.steps.running?.step.number ?? 0, sentence);
  }

  private naturalVerdict(step: Step, exit: ExitStatus): Verdict {
    const oomKills = this.prepared.tree.oomKills();
    const oomKillsAround = this.oomKillsAround();
    this.ownEnd = {
      pid: this.steps.running?.process.pid ?? 0,
      oomKills,
      oomIsCounted: oomKills !== undefined || oomKillsAround !== undefined,
      sentBy: this.signalsSent.get(exit.signal ?? ""),
    };
    return naturalVerdict(step, exit, { oomKills, oomKillsAround, signalsSent: this.signalsSent });
  }

  private failure(error: unknown): Verdict {
    const message = `The agent failed: ${messageOf(error)}`;
    this.options.logger.error(message);
    return {
      outcome: Outcome.FAILED,
      reason: EndReason.AGENT_FAILED,
      message,
      step: this.steps.running?.step.number ?? 0,
    };
  }

  /** The one place that changes the state. The end is reported by the result, not as a change of the state. */
  private setState(state: JobState, message: string): void {
    if (this.current === state) return;
    this.current = state;
    if (!isEnded(state)) this.handlers.state(state, message);
  }

  private mustRun(verb: string, states: readonly JobState[]): void {
    const { first } = this.cause;
    const decided = first === undefined ? this.ownVerdict : first.kind === "natural" ? first.verdict : undefined;
    const natural = this.afterOrders.running ? undefined : decided;
    if (states.includes(this.current) && natural === undefined && this.steps.running !== undefined) return;
    const state = natural === undefined ? this.current : endState(natural.outcome);
    throw new BelayError("BAD_USAGE", `Cannot ${verb} job "${this.options.jobId}": it is ${stateName(state)}`);
  }
}

import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { formatDuration } from "../../../contract/durations.ts";
import { type AfterStepResult, AfterStepResultSchema } from "../../../gen/belay/v1/job_pb.ts";
import type { AfterStep, CompiledSpec } from "../compile-spec.ts";
import { Closing } from "../end/closing.ts";
import { Countdown } from "../end/countdown.ts";
import type { EndTiming } from "../end/end-timing.ts";
import { Ladder, type TreeEnd } from "../end/ladder.ts";
import { type Circumstances, describeStep, naturalVerdict } from "../end/verdict.ts";
import type { JobOutput } from "../output/output.ts";
import type { Launched } from "../start/launch.ts";
import type { PreparedJob } from "../start/prepare.ts";
import type { ExitStatus } from "../start/spawn.ts";
import type { SpawnProblem } from "../start/spawn-problem.ts";
import { countOomKillsAround } from "../tree/memory-control.ts";
import { countProcesses, listProcesses } from "../tree/process-info.ts";
import type { ProcessTree } from "../tree/tree.ts";
import type { JobHandlers } from "../types.ts";
import type { AfterOrders, RunningAfterStep } from "./after-orders.ts";

/** What the steps after the end have of the job. */
export interface AfterHost {
  readonly spec: CompiledSpec;
  readonly prepared: PreparedJob;
  readonly output: JobOutput;
  readonly handlers: JobHandlers;
  readonly timing: EndTiming;
  readonly signalsSent: Circumstances["signalsSent"];
  /** Decides whether a further step starts, and ends the one that runs. */
  readonly orders: AfterOrders;
  /**
   * Starts the process of a step and reports it.
   *
   * @param environment variables that the step has in addition
   * @returns why it could not be started; undefined: `orders` did not allow it at the last moment
   */
  start(step: AfterStep, environment: Readonly<Record<string, string>>): Promise<Launched | SpawnProblem | undefined>;
  /** Reports that the step's process has ended. */
  ended(launched: Launched, exit: ExitStatus | undefined): void;
}

/** What became of a step that was started. */
export interface AfterStepOver {
  readonly result: AfterStepResult;
  /** Processes that outlived SIGKILL, as text. Empty: nothing is left of the step. */
  readonly survivors: string;
}

/** How many processes were killed for want of memory since a moment. */
type OomKillsSince = () => Pick<Circumstances, "oomKills" | "oomKillsAround">;

/** Counts the processes of a tree, and around it, that are killed from now on because memory ran out. */
export function countOomKills(tree: ProcessTree): OomKillsSince {
  const before = tree.oomKills();
  const oomKillsAround = countOomKillsAround();
  return () => {
    const now = tree.oomKills();
    const oomKills = now === undefined || before === undefined ? undefined : now - before;
    return { oomKills, oomKillsAround: oomKillsAround() };
  };
}

/** One step after the end whose process has been started. */
export class AfterStepRun implements RunningAfterStep {
  private readonly host: AfterHost;
  private readonly launched: Launched;
  private readonly step: AfterStep;
  private readonly closing: Closing;
  private readonly countdown: Countdown;
  private readonly oomKills: OomKillsSince;
  private readonly killed = Promise.withResolvers<void>();
  private ladder: Ladder | undefined;
  private tree: Promise<TreeEnd> | undefined;
  private why = "";
  private timedOut = false;

  /** @param oomKills counts from before the start of the step */
  constructor(host: AfterHost, step: AfterStep, launched: Launched, oomKills: OomKillsSince) {
    const { prepared, output, spec, timing } = host;
    this.host = host;
    this.step = step;
    this.launched = launched;
    this.oomKills = oomKills;
    this.closing = new Closing({
      tree: prepared.tree,
      output,
      pipes: prepared.pipes.directory,
      grace: spec.grace,
      timing,
    });
    const { timeout } = step.after;
    this.countdown = new Countdown(timeout, () =>
      this.end(spec.grace, `it ran longer than its timeout of ${formatDuration(timeout)}`, true),
    );
  }

  end(grace: number, why: string, timedOut: boolean): void {
    this.closing.shorten(grace);
    if (this.launched.process.exit !== undefined) return;
    if (this.ladder !== undefined) {
      this.ladder.shorten({ stop: 0, kill: grace });
      return;
    }
    const { prepared, timing, spec } = this.host;
    this.why = why;
    this.timedOut = timedOut;
    this.ladder = new Ladder(prepared.tree, { stop: 0, kill: grace }, timing);
    this.tree = this.ladder.climb(spec.stopSignal);
    void this.tree.then(({ survivors }) => {
      if (survivors.length > 0) this.killed.resolve();
    });
  }

  pause(): void {
    this.countdown.pause();
  }

  resume(): void {
    this.countdown.resume();
  }

  /** Resolves when the step's processes have ended and its output was read. */
  async over(): Promise<AfterStepOver> {
    const { host, step, launched, closing } = this;
    const { process, start } = launched;
    const exit = await Promise.race([process.exited, this.killed.promise.then(() => undefined)]);
    this.countdown.cancel();
    const duration = durationFromMs(Math.round(performance.now() - start));
    this.ladder?.stepEnded();
    host.ended(launched, exit);
    const ended = this.endText(exit);
    const noticeLeft = (): void => this.noticeLeft();
    const tree = await (this.tree ?? closing.endLeftovers(noticeLeft));
    const { survivors } = await closing.endHolders(tree, noticeLeft);
    if (await closing.finishOutput()) {
      this.notice(`${describeStep(step)} left a pipe open: output after that is not in the log`);
    }
    await host.handlers.stepOver?.();
    const message = this.why === "" ? (exit?.code === 0 ? "" : ended) : `${ended}: ${this.why}`;
    if (message !== "") this.notice(message);
    const result = create(AfterStepResultSchema, {
      name: step.name,
      step: step.number,
      ...(exit?.code === undefined ? {} : { exitCode: exit.code }),
      signal: exit?.signal ?? "",
      timedOut: this.timedOut,
      duration,
      message,
    });
    return { result, survivors: listProcesses(survivors) };
  }

  /** How the step ended, as a sentence. */
  private endText(exit: ExitStatus | undefined): string {
    if (exit === undefined) return `${describeStep(this.step)} outlived SIGKILL`;
    return naturalVerdict(this.step, exit, { ...this.oomKills(), signalsSent: this.host.signalsSent }).message;
  }

  private noticeLeft(): void {
    const left = this.host.prepared.tree.members();
    if (left.length === 0) return;
    const what = `${countProcesses(left)} behind, which the agent ends: ${listProcesses(left)}`;
    this.notice(`${describeStep(this.step)} left ${what}`);
  }

  private notice(message: string): void {
    this.host.handlers.notice(this.step.number, message);
  }
}

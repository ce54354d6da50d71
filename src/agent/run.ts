import type { JobResult } from "../gen/belay/v1/job_pb.ts";
import type { Welcome } from "../gen/belay/v1/tracker_service_pb.ts";
import type { Admin } from "./admin/admin.ts";
import { type AgentParts, connectParts } from "./agent-parts.ts";
import { CallbackError } from "./callback-error.ts";
import { type CompiledOptions, compileOptions } from "./compile-options.ts";
import { awaitDelivery, deliveryOf } from "./delivery.ts";
import { nothingReapsWarning } from "./job/start/pid-one.ts";
import type { AgentOptions, AgentOutcome } from "./options.ts";
import { serveOwnPages } from "./own-pages.ts";
import { passSignal } from "./pass-signal.ts";
import { Mask } from "./report/redact/mask.ts";
import { type RunningJob, startReportedJob } from "./running-job.ts";
import { SESSION_TIMING, type SessionTiming } from "./session/session-timing.ts";
import { errorWithoutSecrets, secretsFor } from "./without-secrets.ts";

/**
 * Runs one job under an agent: joins the tracker, runs the job, delivers everything the job prints and uses, and returns
 * how the job ended.
 *
 * A function of the options that throws, or whose promise is rejected, is not called again. The job goes on, and so does
 * the delivery of its log; only then is the promise rejected.
 *
 * @throws BelayError `BAD_USAGE`, `BAD_SPEC`, `TRACKER_UNREACHABLE`, `TRACKER_REFUSED`, `NOT_FOUND`, `JOB_TAKEN`,
 *   `ADDRESS_IN_USE`, `STOPPED` before the job is started; `SUPERSEDED` when it was taken over while it ran, and was killed
 * @throws CallbackError when all is over, with the outcome: a function of the options has failed
 */
export function runAgent(options: AgentOptions): Promise<AgentOutcome> {
  return runAgentTimed(options, SESSION_TIMING);
}

/** The same for tests that would otherwise wait for a session's constants; not part of the package's interface. */
export async function runAgentTimed(options: AgentOptions, timing: SessionTiming): Promise<AgentOutcome> {
  const compiled = compileOptions(options);
  const mask = new Mask();
  mask.know(...secretsFor(compiled.environment, compiled.spec));
  try {
    return await Agent.begin(mask, compiled, timing).run();
  } catch (error) {
    throw errorWithoutSecrets(error, mask);
  }
}

/** The life of one agent. `agent-parts.ts` says what it consists of. */
class Agent {
  private readonly parts: AgentParts;
  /** Aborted when the job is over, or the agent without one. */
  private readonly over = new AbortController();
  private running: RunningJob | undefined;

  /** Prepares the machine for the job, which starts a process. */
  static begin(mask: Mask, options: CompiledOptions, timing: SessionTiming): Agent {
    return new Agent((over, running) => connectParts(mask, options, timing, { over, running }));
  }

  private constructor(connect: (over: AbortSignal, running: () => RunningJob | undefined) => AgentParts) {
    this.parts = connect(this.over.signal, () => this.running);
  }

  async run(): Promise<AgentOutcome> {
    const { options, session, report, leftBehind, stop, desk } = this.parts;
    const warning = nothingReapsWarning();
    if (warning !== undefined) options.logger.warn(warning);
    const pages = await this.servePages();
    stop.listen();
    const endSignals = options.signals?.((signal) => void this.passOn(signal));
    const ended = leftBehind.deliverOwnPast().then(() => session.run());
    // Nothing is committed any more: a full spool would block the job, and then the agent, for ever.
    void ended.then(() => this.running?.gate.discard());
    let others: Promise<void> | undefined;
    try {
      const welcome = await session.admitted;
      report.spool.admitted(welcome.attempt);
      others = leftBehind.deliverOthers();
      const result = report.result(await this.runJob(welcome));
      desk.finish(result);
      session.finish();
      const end = await awaitDelivery(session, ended, options);
      if (end.kind === "delivered") await others;
      if (end.kind === "fenced") throw end.error;
      return this.outcome({ attempt: welcome.attempt, result, ...deliveryOf(end) });
    } finally {
      stop.close();
      endSignals?.();
      this.over.abort();
      this.parts.disconnect.close();
      session.close("The agent ends");
      await ended;
      leftBehind.stop();
      await others;
      await pages?.close();
      await this.release();
    }
  }

  private async runJob(welcome: Welcome): Promise<JobResult> {
    const { stop, desk, report } = this.parts;
    const running = (this.running = startReportedJob(welcome, this.parts));
    stop.started(running);
    for (const command of welcome.commands) desk.accept(command);
    desk.attach(running.job);
    const result = await running.job.done;
    this.over.abort();
    await running.sampled;
    const { discardedText } = running.gate;
    if (discardedText !== undefined) report.notice(0, discardedText);
    return result;
  }

  private outcome(ended: Omit<AgentOutcome, "lostBytes">): AgentOutcome {
    const { mask, report, failures } = this.parts;
    const undelivered = mask.text(ended.undelivered);
    const outcome = { ...ended, undelivered, lostBytes: report.spool.unkeptBytes };
    if (failures.first !== undefined) throw new CallbackError(failures.first, outcome);
    return outcome;
  }

  private async servePages(): Promise<Admin | undefined> {
    try {
      return await serveOwnPages(this.parts.options, this.parts.facts);
    } catch (error) {
      await this.release();
      throw error;
    }
  }

  private async passOn(signal: NodeJS.Signals): Promise<void> {
    const { running } = this;
    const { options, report } = this.parts;
    const sentence = await passSignal(signal, running?.job);
    options.logger.info(sentence);
    // Once the job is over, its log is closed.
    if (running !== undefined && !this.over.signal.aborted) report.notice(0, sentence);
  }

  /** Must be the last call. */
  private async release(): Promise<void> {
    const { metricsFile, prepared, report } = this.parts;
    await metricsFile.end();
    await prepared.close();
    await report.spool.close();
  }
}

import type { JobResult } from "../gen/belay/v1/job_pb.ts";
import type { Welcome } from "../gen/belay/v1/tracker_service_pb.ts";
import { type AgentParts, type AttemptSetting, connectParts } from "./agent-parts.ts";
import { CallbackFailures, guardCallbacks } from "./callback-error.ts";
import { compileOptions } from "./compile-options.ts";
import { awaitDelivery, deliveryOf } from "./delivery/delivery.ts";
import { nothingReapsWarning } from "./job/start/pid-one.ts";
import { nextAttempt } from "./attempts/next-attempt.ts";
import type { AgentOptions, AgentOutcome } from "./options.ts";
import { OwnPages } from "./own-pages.ts";
import { passSignal } from "./pass-signal.ts";
import { Mask } from "./report/redact/mask.ts";
import { type RunningJob, startReportedJob } from "./running-job.ts";
import type { SessionEnd } from "./session/session-end.ts";
import { SESSION_TIMING, type SessionTiming } from "./session/session-timing.ts";
import { welcomeNotices } from "./attempts/welcome-notices.ts";
import { errorWithoutSecrets, secretsFor } from "./without-secrets.ts";

/**
 * Runs one attempt of a job under an agent: joins the tracker, runs the job, delivers everything the job prints and uses,
 * and returns how the job ended.
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
export async function runAgentTimed(given: AgentOptions, timing: SessionTiming): Promise<AgentOutcome> {
  const failures = new CallbackFailures();
  const options = guardCallbacks(compileOptions(given), failures.callbacks);
  const pages = new OwnPages();
  try {
    const outcome = await runAttempt({ options, failures, timing, pages });
    failures.throwFirst(outcome);
    return outcome;
  } finally {
    await pages.close();
  }
}

/** Runs one attempt. @throws BelayError as `runAgent` does */
export async function runAttempt(setting: AttemptSetting): Promise<AgentOutcome> {
  const { environment, spec } = setting.options;
  const mask = new Mask();
  mask.setEnvironment(...secretsFor(environment, spec));
  try {
    return await Agent.begin(mask, setting).run();
  } catch (error) {
    throw errorWithoutSecrets(error, mask);
  }
}

/** The life of one agent: one attempt. `agent-parts.ts` says what it consists of. */
class Agent {
  private readonly parts: AgentParts;
  private readonly setting: AttemptSetting;
  /** Aborted when the job is over, or the agent without one. */
  private readonly over = new AbortController();
  private running: RunningJob | undefined;

  /** Prepares the machine for the job, which starts a process. */
  static begin(mask: Mask, setting: AttemptSetting): Agent {
    return new Agent(mask, setting);
  }

  private constructor(mask: Mask, setting: AttemptSetting) {
    this.setting = setting;
    this.parts = connectParts(mask, setting, { over: this.over.signal, running: () => this.running });
  }

  async run(): Promise<AgentOutcome> {
    const { options, session, report, leftBehind, stop, desk } = this.parts;
    const warning = this.setting.startsIn === undefined ? nothingReapsWarning() : undefined;
    if (warning !== undefined) options.logger.warn(warning);
    await this.showPages();
    stop.listen();
    const endSignals = options.signals?.((signal) => void this.passOn(signal));
    let ended: Promise<SessionEnd> | undefined;
    let others: Promise<void> | undefined;
    try {
      const before = await leftBehind.deliverOwnPast();
      if (before !== undefined) return before;
      ended = session.run();
      // Nothing is committed any more: a full spool would block the job, and then the agent, for ever.
      void ended.then(() => this.running?.gate.discard());
      const welcome = await session.admitted;
      report.spool.admitted(welcome.attempt);
      this.note(welcome);
      others = leftBehind.deliverOthers();
      const result = report.result(await this.runJob(welcome));
      desk.finish(result);
      session.finish();
      const end = await awaitDelivery(session, ended, options);
      if (end.kind === "delivered") await others;
      if (end.kind === "fenced") throw end.error;
      return this.outcome(welcome, result, end);
    } finally {
      // The job and its delivery are over: a function that fails from here on changes nothing.
      const { failures } = this.setting;
      const { first } = failures;
      stop.close();
      endSignals?.();
      this.over.abort();
      this.parts.disconnect.close();
      session.close("The agent ends");
      await ended;
      leftBehind.stop();
      await others;
      await this.release();
      failures.first = first;
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
    return running.withCard(result);
  }

  /** Notes in the job's log what the tracker cannot do of what was asked for. */
  private note(welcome: Welcome): void {
    const { options, report } = this.parts;
    for (const sentence of welcomeNotices(welcome, options)) {
      report.notice(0, sentence);
      options.logger.warn(sentence);
      options.onProgress?.(sentence);
    }
  }

  private outcome(welcome: Welcome, result: JobResult, end: SessionEnd): AgentOutcome {
    const { mask, report } = this.parts;
    const { delivered, undelivered } = deliveryOf(end);
    const next = nextAttempt(welcome, result, end);
    return {
      attempt: welcome.attempt,
      result,
      delivered,
      undelivered: mask.text(undelivered),
      lostBytes: report.spool.unkeptBytes,
      ...(next !== undefined && { next }),
    };
  }

  private async showPages(): Promise<void> {
    try {
      await this.setting.pages.show(this.parts.options, this.parts.facts);
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

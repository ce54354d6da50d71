import { durationMs } from "@bufbuild/protobuf/wkt";
import { systemClock as clock } from "../base/clock.ts";
import { formatDuration } from "../base/durations.ts";
import { counted } from "../base/count.ts";
import { Callbacks } from "../base/callbacks.ts";
import { BelayError } from "../base/errors.ts";
import { uuidv7 } from "../base/ids.ts";
import { silentLogger } from "../base/logger.ts";
import { parseTrackerAddresses } from "../base/tracker-address.ts";
import { EndReason, JobSpecSchema, JobState } from "../gen/belay/v1/job_pb.ts";
import type { JobMetrics, JobSpec, StatusReport } from "../gen/belay/v1/job_pb.ts";
import type { Welcome } from "../gen/belay/v1/tracker_service_pb.ts";
import type { Admin } from "./admin/admin.ts";
import { CallbackError, type CallbackFailure, failureText, guardCallbacks } from "./callback-error.ts";
import { type CompiledOptions, compileOptions } from "./compile-options.ts";
import { DEFAULTS } from "./defaults.ts";
import { awaitDelivery, deliveryOf } from "./delivery.ts";
import { agentInfo } from "./info.ts";
import { DEFAULT_METRICS_INTERVAL_MS } from "./job/compile-spec.ts";
import { startJob } from "./job/job.ts";
import { nothingReapsWarning } from "./job/start/pid-one.ts";
import { prepareJob, type PreparedJob } from "./job/start/prepare.ts";
import { traceEnvironment } from "./job/start/trace-environment.ts";
import type { Job } from "./job/types.ts";
import { LeftBehind } from "./left-behind.ts";
import type { AgentOptions, AgentOutcome } from "./options.ts";
import { makeSpool } from "./report/make-spool.ts";
import { MetricsLoop } from "./report/metrics-loop.ts";
import { OutputPath } from "./report/output-path.ts";
import { Mask } from "./report/redact/mask.ts";
import { Report } from "./report/report.ts";
import { MetricsFile } from "./job-metrics/metrics-file.ts";
import { passSignal } from "./pass-signal.ts";
import { CommandDesk } from "./session/command-desk.ts";
import { Session } from "./session/session.ts";
import { SESSION_TIMING, type SessionTiming } from "./session/session-timing.ts";
import { statusReport } from "./status.ts";
import { errorWithoutSecrets, secretsFor, withoutSecrets } from "./without-secrets.ts";

/**
 * Runs one job under an agent: joins the tracker, runs the job, delivers all it has to tell, and returns how the job
 * ended.
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
    return await new Agent(mask, compiled, timing).run();
  } catch (error) {
    throw errorWithoutSecrets(error, mask);
  }
}

class Agent {
  private readonly mask: Mask;
  private readonly options: CompiledOptions;
  private readonly report: Report;
  private readonly session: Session;
  private readonly desk: CommandDesk;
  private readonly prepared: PreparedJob;
  private readonly metricsFile: MetricsFile;
  private readonly leftBehind: LeftBehind;
  private readonly over = new AbortController();
  private job: Job | undefined;
  private output: OutputPath | undefined;
  private disconnect: { cancel(): void } | undefined;
  /** True: nobody will ever take what the job still prints, so it is read and thrown away. */
  private discarding = false;
  private discarded = 0;
  private failure: CallbackFailure | undefined;

  constructor(mask: Mask, given: CompiledOptions, timing: SessionTiming) {
    const guarded = guardCallbacks(given, new Callbacks((name, error) => this.callbackFailed({ name, error })));
    const options = withoutSecrets(guarded, mask);
    this.mask = mask;
    this.options = options;
    const addresses = parseTrackerAddresses(options.tracker);
    // The machine is made ready for the job while the tracker is dialed.
    this.prepared = prepareJob({
      containment: options.containment ?? "auto",
      environment: options.environment,
      logger: options.logger ?? silentLogger,
    });
    this.metricsFile = new MetricsFile(this.prepared.directory);
    const logger = options.logger ?? silentLogger;
    const sessionId = uuidv7();
    const agent = agentInfo(options.labels ?? {}, this.prepared);
    this.report = new Report(clock, mask, (pool) =>
      makeSpool(options, { sessionId, jobId: options.jobId, agent }, pool, (message) => {
        logger.warn(message);
        // Not within the push that found it out.
        queueMicrotask(() => this.report.notice(0, message));
      }),
    );
    this.leftBehind = new LeftBehind(options, sessionId);
    this.desk = new CommandDesk(this.report.command, () => this.status());
    this.session = new Session(
      {
        identity: {
          sessionId,
          jobId: options.jobId,
          agent,
          spec: options.spec,
          shownSpec: options.spec && mask.message(JobSpecSchema, options.spec),
        },
        addresses,
        security: options.security ?? {},
        connectTimeout: options.connectTimeout ?? DEFAULTS.connectTimeout,
        spool: this.report.spool,
        clock,
        logger: options.logger ?? silentLogger,
        handlers: {
          jobState: () => this.job?.state ?? JobState.PENDING,
          command: (command) => this.desk.take(command),
          connected: (address, first) => this.connected(address, first),
          lost: (why, retryIn) => this.lost(why, retryIn),
          fenced: (message) => this.job?.end({ reason: EndReason.SUPERSEDED, message, grace: 0 }),
        },
      },
      timing,
    );
    this.report.spool.onRoom = () => this.readOn();
  }

  async run(): Promise<AgentOutcome> {
    const warning = nothingReapsWarning();
    if (warning !== undefined) this.options.logger?.warn(warning);
    const admin = await this.serveAdmin();
    const unlisten = this.obeyStop();
    const endSignals = this.options.signals?.((signal) => void this.passOn(signal));
    const ended = this.leftBehind.deliverOwnPast().then(() => this.session.run());
    // Nothing is acknowledged any more: a spool that is full would hold the job, and then us, for ever.
    void ended.then(() => this.discard());
    let others: Promise<void> | undefined;
    try {
      const welcome = await this.session.admitted;
      this.report.spool.admitted(welcome.attempt);
      others = this.leftBehind.deliverOthers();
      const job = (this.job = this.start(welcome));
      const metrics = this.sampleUsage(job, this.specOf(welcome));
      const done = await job.done;
      this.over.abort();
      await metrics;
      if (this.discarded > 0) {
        this.report.notice(0, `${this.discarded} bytes of output were not kept: the spool was full and nobody took it`);
      }
      const result = this.report.result(done);
      this.desk.finish(result);
      this.session.finish();
      const end = await awaitDelivery(this.session, ended, this.options);
      if (end.kind === "delivered") await others;
      if (end.kind === "fenced") throw end.error;
      const { delivered, undelivered } = deliveryOf(end);
      const outcome = {
        attempt: welcome.attempt,
        result,
        delivered,
        undelivered: this.mask.text(undelivered),
        lostBytes: this.report.spool.unkeptBytes,
      };
      if (this.failure !== undefined) throw new CallbackError(this.failure, outcome);
      return outcome;
    } finally {
      unlisten();
      endSignals?.();
      this.over.abort();
      this.disconnect?.cancel();
      this.session.close("The agent ends");
      await ended;
      this.leftBehind.stop();
      await others;
      await admin?.close();
      await this.giveBack();
    }
  }

  private callbackFailed(failure: CallbackFailure): void {
    this.failure ??= failure;
    // Not within the push whose record it was called with.
    queueMicrotask(() => {
      // Once the job is over, its log is closed.
      if (!this.over.signal.aborted) this.report.notice(0, `${failureText(failure)}. The job goes on`);
      this.options.logger?.error(failureText(failure));
    });
  }

  private async serveAdmin(): Promise<Admin | undefined> {
    const { admin, jobId, security, onProgress, logger } = this.options;
    if (admin === undefined) return undefined;
    try {
      const { serveAdmin } = await import("./admin/admin.ts");
      const served = await serveAdmin(admin, security?.insecure === true, {
        jobId,
        spool: this.report.spool,
        jobState: () => this.job?.state ?? JobState.PENDING,
        session: () => this.session.health,
        streams: () => this.report.totals(),
      });
      onProgress?.(`pages of this agent at ${served.address}`);
      logger?.info("Serving the agent's pages", { pages: served.address });
      return served;
    } catch (error) {
      await this.giveBack();
      throw error;
    }
  }

  /** The last of all. */
  private async giveBack(): Promise<void> {
    await this.metricsFile.end();
    await this.prepared.close();
    await this.report.spool.close();
  }

  private start(welcome: Welcome): Job {
    const { options, report, mask } = this;
    const spec = this.specOf(welcome);
    const environment = options.environment;
    if (options.spec === undefined) mask.know(...secretsFor(environment, spec));
    mask.begin((message) => this.warn(message), this.prepared.redactPipe);
    const output = new OutputPath({
      spec,
      mask,
      report,
      onOutput: options.onOutput,
      onRoom: () => this.readOn(),
    });
    this.output = output;
    const said = {
      metrics: (value: JobMetrics) => report.event({ case: "jobMetrics", value }),
      notice: (message: string) => report.notice(0, message),
      text: (value: string) => mask.text(value),
      waiting: () => report.eventsWaiting,
      clock,
      environment,
    };
    let main = 0;
    const job = startJob(
      {
        jobId: options.jobId,
        attempt: welcome.attempt,
        spec,
        environment,
        tracker: options.tracker,
        ...(options.inherited === undefined ? {} : { inherited: options.inherited }),
        traceEnvironment: traceEnvironment(welcome.traceParent, spec),
        ownEnvironment: { ...mask.environment, ...this.metricsFile.environment },
        containment: options.containment ?? "auto",
        logger: options.logger ?? silentLogger,
        prepared: this.prepared,
      },
      {
        state: (state, message) => report.state(state, message),
        stepStarted: (step) => {
          output.flush();
          mask.stepStarted();
          this.metricsFile.begin(said);
          report.event({ case: "stepStarted", value: step });
          if (step.main) main = step.step;
        },
        stepEnded: (step) => {
          report.event({ case: "stepEnded", value: step });
          if (step.step === main) this.endStalemate(options.flushTimeout ?? DEFAULTS.flushTimeout);
        },
        usage: (sample) => report.event({ case: "metricSample", value: sample }),
        notice: (step, message) => report.notice(step, message),
        output: (stream, step, data, readUnixNano) => {
          if (!this.discarding) return output.take(stream, step, data, readUnixNano);
          this.discarded += data.length;
          return true;
        },
        // Both make their files again if the step has removed them.
        stepOver: () => {
          output.flush();
          mask.stepOver();
          return this.metricsFile.settle();
        },
        ending: () => output.waitNoLonger(),
        outputEnded: async () => {
          await this.metricsFile.end();
          output.end();
          this.noteBehind();
          mask.close();
        },
      },
    );
    if (options.stop?.aborted === true) this.stopJob(job);
    for (const command of welcome.commands) this.desk.take(command);
    this.desk.attach(job);
    return job;
  }

  /**
   * To be called when the job is to end: what it has printed stays in its pipe while the spool is full, and its end is
   * not seen before that is read. Gives up waiting when nothing was acknowledged for some milliseconds.
   */
  private endStalemate(patience: number): void {
    const { spool } = this.report;
    let committed = -1;
    let since = 0;
    const look = (): void => {
      const now = clock.monotonic();
      if (!spool.full || spool.committed("logs") !== committed) since = now;
      committed = spool.committed("logs");
      if (now - since >= patience) this.discard();
      else if (!this.over.signal.aborted) clock.after(Math.min(patience, 1000), look);
    };
    look();
  }

  private discard(): void {
    this.discarding = true;
    this.job?.resumeOutput();
  }

  private readOn(): void {
    if (!this.report.spool.full && this.output?.waiting !== true) this.job?.resumeOutput();
  }

  /** Says what is worth knowing to who reads the log and to who watches the agent. */
  private warn(message: string): void {
    this.report.notice(0, message);
    this.options.logger?.warn(message);
  }

  private specOf(welcome: Welcome): JobSpec {
    const spec = this.options.spec ?? welcome.spec;
    if (spec !== undefined) return spec;
    throw new BelayError("TRACKER_REFUSED", `The tracker sent no spec for job "${this.options.jobId}"`);
  }

  private sampleUsage(job: Job, spec: JobSpec): Promise<void> {
    const interval =
      spec.metricsInterval === undefined ? DEFAULT_METRICS_INTERVAL_MS : durationMs(spec.metricsInterval);
    const loop = new MetricsLoop(
      interval,
      () => job.sample(),
      (sample) => this.report.event({ case: "metricSample", value: sample }),
      this.options.logger ?? silentLogger,
    );
    return loop.run(this.over.signal);
  }

  private obeyStop(): () => void {
    const { stop, stopNow } = this.options;
    const onStop = (): void => {
      if (this.job !== undefined) this.stopJob(this.job);
      else this.session.close("The agent was told to stop");
    };
    const onStopNow = (): void => this.job?.end({ ...STOPPED, grace: 0 });
    stop?.addEventListener("abort", onStop, { once: true });
    stopNow?.addEventListener("abort", onStopNow, { once: true });
    if (stop?.aborted === true) onStop();
    return () => {
      stop?.removeEventListener("abort", onStop);
      stopNow?.removeEventListener("abort", onStopNow);
    };
  }

  private async passOn(signal: NodeJS.Signals): Promise<void> {
    const { job } = this;
    const text =
      job === undefined
        ? `The agent received ${signal}, which was not passed on: no job has started`
        : await passSignal(signal, job);
    this.options.logger?.info(text);
    // The log is closed when the job is over.
    if (job !== undefined && !this.over.signal.aborted) this.report.notice(0, text);
  }

  private noteBehind(): void {
    const { stdout = 0, stderr = 0 } = this.options.outputBehind?.() ?? {};
    for (const [bytes, name] of [
      [stdout, "output"],
      [stderr, "error"],
    ] as const) {
      if (bytes === 0) continue;
      const text = `When the job had ended, ${counted(bytes, "byte")} of its standard ${name} had not been passed through`;
      this.report.notice(0, `${text}: whoever reads them is slow or stands still. This log has them`);
    }
  }

  private stopJob(job: Job): void {
    this.endStalemate(this.options.stopFlushTimeout ?? DEFAULTS.stopFlushTimeout);
    job.end({ ...STOPPED, ...(this.options.stopNow?.aborted === true && { grace: 0 }) });
  }

  private connected(address: string, first: boolean): void {
    this.disconnect?.cancel();
    this.disconnect = undefined;
    this.options.onProgress?.(`${first ? "connected" : "connected again"} to ${address}`);
  }

  private lost(why: string, retryIn: number): void {
    const { onDisconnect, onProgress } = this.options;
    const { spool } = this.report;
    const running = this.job === undefined ? "" : `. Job goes on; ${spool.memoryBytes + spool.diskBytes} bytes spooled`;
    onProgress?.(`not connected: ${why}${running}. Next attempt in ${formatDuration(retryIn)}`);
    if (onDisconnect?.kind !== "cancel-after" || this.job === undefined) return;
    this.disconnect ??= clock.after(onDisconnect.ms, () => {
      this.job?.end({ reason: EndReason.DISCONNECTED, message: this.session.whyAbsent(onDisconnect.ms) });
      this.endStalemate(this.options.flushTimeout ?? DEFAULTS.flushTimeout);
    });
  }

  private status(): Promise<StatusReport> {
    return statusReport(this.job, () => ({
      heartbeat: this.session.heartbeat(0n),
      streams: this.report.totals(),
    }));
  }
}

const STOPPED = { reason: EndReason.AGENT_STOPPED, message: "The agent was told to stop" };

import { systemClock as clock } from "../base/clock.ts";
import { uuidv7 } from "../base/ids.ts";
import { parseTrackerAddresses } from "../base/network/tracker-address.ts";
import { EndReason, JobSpecSchema, JobState } from "../gen/belay/v1/job_pb.ts";
import type { AgentFacts } from "./admin/facts.ts";
import type { CallbackFailures } from "./callback-error.ts";
import type { CompiledOptions } from "./compile-options.ts";
import { DEFAULTS } from "./defaults.ts";
import { Disconnect } from "./disconnect.ts";
import { agentInfo } from "./info.ts";
import { prepareJob } from "./job/start/prepare.ts";
import { MetricsFile } from "./job-metrics/metrics-file.ts";
import { LeftBehind } from "./delivery/left-behind.ts";
import { makeSpool } from "./report/make-spool.ts";
import type { OwnPages } from "./own-pages.ts";
import type { Mask } from "./report/redact/mask.ts";
import { Report } from "./report/report.ts";
import type { JobSurroundings, RunningJob } from "./running-job.ts";
import { CommandDesk } from "./session/command-desk.ts";
import { Session } from "./session/session.ts";
import type { SessionTiming } from "./session/session-timing.ts";
import { statusReport } from "./status-report.ts";
import { Stop } from "./stop.ts";
import { withoutSecrets } from "./without-secrets.ts";

/** What an agent runs one attempt with. */
export interface AttemptSetting {
  /** With functions that never fail; `failures` keeps the first that would have. */
  readonly options: CompiledOptions;
  readonly failures: CallbackFailures;
  readonly timing: SessionTiming;
  readonly pages: OwnPages;
  /**
   * Milliseconds after which the attempt may start, if it follows one that this program ran: the job waits for it. Absent:
   * it is the first one here.
   */
  readonly startsIn?: number;
}

/** What an agent consists of. */
export interface AgentParts extends JobSurroundings {
  readonly leftBehind: LeftBehind;
  readonly session: Session;
  readonly desk: CommandDesk;
  readonly stop: Stop;
  readonly disconnect: Disconnect;
  readonly facts: AgentFacts;
}

/** How far an agent has come. */
export interface AgentLife {
  /** Aborted when the job is over. */
  readonly over: AbortSignal;
  /** Undefined: no job has started. */
  readonly running: () => RunningJob | undefined;
}

/**
 * Makes the parts of an agent and connects them. The machine is prepared for the job, which starts a process; nothing is
 * dialed yet.
 */
export function connectParts(
  mask: Mask,
  { options: given, failures, timing, startsIn }: AttemptSetting,
  { over, running }: AgentLife,
): AgentParts {
  const options = withoutSecrets(given, mask);
  const { jobId, spec, logger, environment, containment = "auto", security = {} } = options;
  const addresses = parseTrackerAddresses(options.tracker);
  const prepared = prepareJob({ containment, environment, logger });
  const sessionId = uuidv7();
  const agent = agentInfo(options.labels ?? {}, prepared);
  const metricsFile = new MetricsFile(prepared.directory);
  const report = new Report(clock, mask, (pool) =>
    makeSpool(options, { sessionId, jobId, agent }, pool, (message) => {
      logger.warn(message);
      // Not within the push that found it out.
      queueMicrotask(() => report.notice(0, message));
    }),
  );
  const { spool } = report;
  failures.onFailure = (sentence) => {
    // Once the job is over, its log is closed.
    if (!over.aborted) report.notice(0, `${sentence}. The job goes on`);
    logger.error(sentence);
  };
  const jobState = (): JobState =>
    running()?.job.state ?? (stop.endsAwaitedJob ? JobState.CANCELING : JobState.PENDING);
  const desk = new CommandDesk(report.command, () =>
    statusReport(running()?.job, () => ({ heartbeat: session.heartbeat(0n), streams: report.totals() })),
  );
  const disconnect = new Disconnect({ options, spool, running, whyAbsent: (ms) => session.whyAbsent(ms) });
  const session = new Session(
    {
      identity: {
        sessionId,
        jobId,
        agent,
        spec,
        shownSpec: spec && mask.message(JobSpecSchema, spec),
        takeOver: options.takeOver === true && startsIn === undefined,
      },
      addresses,
      security,
      connectTimeout: options.connectTimeout ?? DEFAULTS.connectTimeout,
      startsIn,
      spool,
      clock,
      logger,
      handlers: {
        jobState,
        command: (command) => desk.accept(command),
        loopDelay: (ms) => void running()?.watch.loopDelay(ms),
        connected: (address, first) => disconnect.connected(address, first),
        lost: (why, retryIn) => disconnect.lost(why, retryIn),
        postponed: (why) => {
          // The loop over the attempts has said so already.
          if (startsIn === undefined) options.onProgress?.(`waiting: ${why}`);
        },
        fenced: (message) => running()?.job.end({ reason: EndReason.SUPERSEDED, message, grace: 0 }),
      },
    },
    timing,
  );
  const stop = new Stop(options, {
    closeSession: (why) => session.close(why),
    dialNow: () => session.dialNow(),
    isAwaited: startsIn !== undefined,
  });
  return {
    options,
    mask,
    report,
    prepared,
    metricsFile,
    over,
    leftBehind: new LeftBehind(options, sessionId),
    session,
    desk,
    stop,
    disconnect,
    facts: { jobId, spool, jobState, session: () => session.health, streams: () => report.totals() },
  };
}

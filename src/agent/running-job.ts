import { durationMs } from "@bufbuild/protobuf/wkt";
import { systemClock as clock } from "../base/clock.ts";
import { BelayError } from "../base/errors.ts";
import { Feature, type JobMetrics, type JobResult, type JobSpec, type MetricSample } from "../gen/belay/v1/job_pb.ts";
import type { Welcome } from "../gen/belay/v1/tracker_service_pb.ts";
import { addCard } from "./add-card.ts";
import { DEFAULTS } from "./defaults.ts";
import { DEFAULT_METRICS_INTERVAL_MS } from "./job/compile-spec.ts";
import { startJob } from "./job/job.ts";
import type { PreparedJob } from "./job/start/prepare.ts";
import { traceEnvironment } from "./job/start/trace-environment.ts";
import type { Job, JobHandlers } from "./job/types.ts";
import type { MetricsFile } from "./job-metrics/metrics-file.ts";
import { OutputGate } from "./output-gate.ts";
import { MetricsLoop } from "./report/metrics-loop.ts";
import { OutputPath } from "./report/output/output-path.ts";
import type { Mask } from "./report/redact/mask.ts";
import type { Report } from "./report/report.ts";
import { Watch } from "./watch.ts";
import { secretsFor, type SafeOptions } from "./without-secrets.ts";

/** Steps after the end wait for the program that their output is passed on to, until it accepts nothing for so long. */
const READER_PATIENCE_MS = 1000;

/** A job that runs, and all that it prints and uses is reported. */
export interface RunningJob {
  readonly job: Job;
  readonly gate: OutputGate;
  readonly watch: Watch;
  /** The result with what a user needs to see first, once the job is over. */
  withCard(result: JobResult): Promise<JobResult>;
  /** Resolves after `over`, when no sample is being measured any more. */
  readonly sampled: Promise<void>;
}

/** Everything around a job. */
export interface JobSurroundings {
  readonly options: SafeOptions;
  readonly mask: Mask;
  readonly report: Report;
  readonly prepared: PreparedJob;
  readonly metricsFile: MetricsFile;
  /** Aborted when the job is over. */
  readonly over: AbortSignal;
}

/**
 * Starts the job of which the tracker has given us an attempt.
 *
 * @throws BelayError as `startJob` does, and `TRACKER_REFUSED` when neither we nor the tracker has a spec
 */
export function startReportedJob(welcome: Welcome, surroundings: JobSurroundings): RunningJob {
  const { options, mask, report, prepared, metricsFile, over } = surroundings;
  const { environment, logger } = options;
  const spec = specFor(options, welcome);
  if (options.spec === undefined) mask.setEnvironment(...secretsFor(environment, spec));
  const warn = (message: string): void => {
    report.notice(0, message);
    logger.warn(message);
  };
  mask.begin(warn, prepared.redactPipe);
  const path = new OutputPath({ ...options, spec, mask, report });
  let job: Job | undefined;
  let memoryLimit = 0;
  const sampled = (value: MetricSample): void => {
    memoryLimit = Number(value.memoryLimitBytes);
    report.event({ case: "metricSample", value });
  };
  const reportsHealth = welcome.features.includes(Feature.STALL);
  const watch = new Watch({ spec, reportsHealth, report, mask, logger, job: () => job });
  const gate = new OutputGate({
    sink: path.accept,
    spool: report.spool,
    passThrough: path.passThrough,
    resume: () => job?.resumeOutput(),
    over,
  });
  const started = (job = startJob(
    {
      jobId: options.jobId,
      attempt: welcome.attempt,
      spec,
      environment,
      tracker: options.tracker,
      ...(options.inherited === undefined ? {} : { inherited: options.inherited }),
      traceEnvironment: traceEnvironment(welcome.traceParent, spec),
      ownEnvironment: { ...mask.environment, ...metricsFile.environment },
      containment: options.containment ?? "auto",
      stopBudget: options.stopBudget ?? DEFAULTS.stopBudget,
      mayBeStopped: options.stop !== undefined,
      logger,
      prepared,
    },
    { ...handlersOf(surroundings, path, gate, watch), usage: sampled },
  ));
  const interval = spec.metricsInterval === undefined ? DEFAULT_METRICS_INTERVAL_MS : durationMs(spec.metricsInterval);
  const loop = new MetricsLoop({
    interval,
    measure: () => started.sample(),
    emit: (value) => {
      sampled(value);
      void watch.sample(value);
    },
    logger,
  });
  const withCard = (result: JobResult): Promise<JobResult> =>
    addCard(result, path.tail, {
      jobId: options.jobId,
      spec,
      memoryLimit,
      ownEnd: started.ownEnd,
      withoutSecrets: (text) => mask.text(text),
      logger,
    });
  return { job: started, gate, watch, withCard, sampled: loop.run(over) };
}

function specFor({ spec, jobId }: SafeOptions, welcome: Welcome): JobSpec {
  const found = spec ?? welcome.spec;
  if (found !== undefined) return found;
  throw new BelayError("TRACKER_REFUSED", `The tracker sent no spec for job "${jobId}"`);
}

function handlersOf(surroundings: JobSurroundings, path: OutputPath, gate: OutputGate, watch: Watch): JobHandlers {
  const { options, mask, report, metricsFile } = surroundings;
  const metricsHost = {
    metrics: (value: JobMetrics) => report.event({ case: "jobMetrics", value }),
    written: () => watch.progressed(),
    notice: (message: string) => report.notice(0, message),
    text: (value: string) => mask.text(value),
    waiting: () => report.eventsWaiting,
    clock,
    environment: options.environment,
  };
  let main = 0;
  let ending = false;
  /** The command is over, or never ran: what follows does not wait for a tracker that is away. */
  const endStalemate = (): void => {
    if (ending) return;
    ending = true;
    gate.endStalemate(options.flushTimeout ?? DEFAULTS.flushTimeout);
  };
  return {
    state: (state, message) => {
      report.state(state, message);
      watch.stateChanged(state);
    },
    stepStarted: (step) => {
      path.flush();
      mask.stepStarted();
      metricsFile.begin(metricsHost);
      report.event({ case: "stepStarted", value: step });
      if (step.after) {
        path.passThrough.waitAtMost(READER_PATIENCE_MS);
        endStalemate();
      }
      if (!step.main) return;
      main = step.step;
      watch.begin();
    },
    stepEnded: (step) => {
      report.event({ case: "stepEnded", value: step });
      if (step.step !== main) return;
      watch.end();
      endStalemate();
    },
    notice: (step, message) => report.notice(step, message),
    output: gate.accept,
    // Mask and metrics file make their files again if the step has removed them.
    stepOver: () => {
      path.flush();
      mask.stepOver();
      return metricsFile.settle();
    },
    ending: () => path.passThrough.waitNoLonger(),
    outputEnded: async () => {
      watch.end();
      await metricsFile.end();
      path.end();
      mask.close();
    },
  };
}

import { Code, ConnectError } from "@connectrpc/connect";
import { compressionGzip } from "@connectrpc/connect-node";
import { MAX_TIMEOUT_MS, systemClock } from "../base/clock.ts";
import { collectGarbageEarly } from "../base/process/garbage.ts";
import { checkOptions } from "../base/options.ts";
import { namesWithout } from "../base/network/certificates.ts";
import type { ListenAddress } from "../base/network/listen.ts";
import type { Logger } from "../base/logger.ts";
import { VERSION } from "../base/version.ts";
import { JobService } from "../gen/belay/v1/job_service_pb.ts";
import { TrackerService } from "../gen/belay/v1/tracker_service_pb.ts";
import { Health } from "../gen/grpc/health/v1/health_pb.ts";
import { checkTokens, compileOptions } from "./config.ts";
import { jobService } from "./control/job-service.ts";
import { HealthService } from "./health.ts";
import type { JobContext } from "./jobs/context.ts";
import { Deadlines } from "./jobs/deadlines/deadlines.ts";
import { expire } from "./jobs/deadlines/expiry.ts";
import { JobChanges } from "./jobs/job-changes.ts";
import { Leases } from "./jobs/deadlines/leases.ts";
import type { LiveJob } from "./jobs/live-job.ts";
import { JobRegistry } from "./jobs/registry.ts";
import { TokenGate, callerOf } from "./net/caller.ts";
import { callGate } from "./net/gate.ts";
import { createHandler } from "./net/handler.ts";
import { addGauges, LoopDelay } from "./metrics/gauges.ts";
import { TrackerMetrics, codeOf } from "./metrics/metrics.ts";
import { pages } from "./pages.ts";
import { listen } from "./net/listener.ts";
import { PageGuard } from "./net/page-guard.ts";
import { RELOAD_RULES } from "./option-rules.ts";
import type { OtlpOptions, Tracker, TrackerOptions, TrackerTls } from "./options.ts";
import { MAX_MESSAGE_BYTES, SessionService } from "./sessions/session-service.ts";
import { Readiness } from "./readiness.ts";
import { Retention } from "./retention.ts";
import { openStore } from "./store/open-store.ts";
import type { Export, ExportContext } from "./otel/export.ts";

/** A size that no answer reaches: compressing costs ten times the CPU of sending plain. */
const NEVER_COMPRESS = 0xffff_ffff;

/**
 * Starts a tracker: opens the data directory, gives every job that was running a full lease, and listens.
 *
 * @throws BelayError `BAD_USAGE`, `STORE`, `ADDRESS_IN_USE`
 */
export async function startTracker(options: TrackerOptions): Promise<Tracker> {
  const config = compileOptions(options);
  collectGarbageEarly();
  const { logger, lostTimeout } = config;
  const gate = config.tokens === undefined ? undefined : new TokenGate(config.tokens);
  const anyoneMayCall = config.tokens === undefined && config.tls?.clientCa === undefined;
  const guard = anyoneMayCall ? new PageGuard(config.cors, config.listen) : undefined;
  const clock = systemClock;
  const metrics = new TrackerMetrics();
  const loop = new LoopDelay();
  const store = openStore(config.dataDirectory, logger, { ...config.store, observer: metrics });
  const changes = new JobChanges(store.highest.version);
  const registry = new JobRegistry({ store, clock, changes, logger, observer: metrics, lostTimeout });
  const inMemory = (): Iterable<LiveJob> => registry.inMemory();
  const jobs: JobContext = { registry, store, clock };
  const deadlines = new Deadlines({
    ...jobs,
    changes,
    logger,
    lease: config.lease,
    lostTimeout,
    expire: (live) => expire(jobs, live),
  });
  const leases = new Leases(jobs, config.lease, logger);
  const retention = new Retention(jobs, config.retention, logger);
  const { heartbeatInterval } = config;
  const sessions = new SessionService({
    ...jobs,
    leases,
    logger,
    heartbeatInterval,
    trackerVersion: VERSION,
    exportsSpans: config.otlp !== undefined,
    specBytes: config.limits.specBytes,
    callerOf,
  });
  const readiness = new Readiness(store, loop);
  const health = new HealthService(readiness, clock, config.keepaliveInterval);
  const shutdown = new AbortController();
  const handle = createHandler(
    {
      readMaxBytes: MAX_MESSAGE_BYTES,
      // A call with a longer timeout would be aborted at once.
      maxTimeoutMs: MAX_TIMEOUT_MS,
      acceptCompression: [compressionGzip],
      compressMinBytes: NEVER_COMPRESS,
      shutdownSignal: shutdown.signal,
      interceptors: [metrics.interceptor],
      requestGate: callGate(gate, guard, config.limits, clock, (method, error) =>
        metrics.called(method, codeOf(error)),
      ),
    },
    (router) => {
      router.service(TrackerService, sessions.implementation);
      // Unknown fields of JSON are refused: a filter with a misspelt field would match all jobs.
      const strict = { jsonOptions: { ignoreUnknownFields: false } };
      const { keepaliveInterval, limits } = config;
      const control = { ...jobs, changes, callerOf, specBytes: limits.specBytes, keepaliveInterval };
      router.service(JobService, jobService(control), strict);
      router.service(Health, health.implementation);
    },
    pages({ readiness, gate, guard, metricsText: () => metrics.registry.text() }),
    { logger, clock, cors: config.cors, requestTimeout: config.limits.requestTimeout },
  );

  let exporting: Export | undefined;

  async function stop(): Promise<void> {
    leases.close();
    await deadlines.close();
    loop.close();
    await retention.close();
    for (const live of registry.inMemory()) await live.releaseLog();
    await exporting?.close(config.drainTimeout);
    await store.close();
  }

  try {
    exporting = await exportTo(config.otlp, {
      spans: store.spans,
      clock,
      jobs: inMemory,
      metrics: metrics.registry,
      logger,
    });
    const open = await registry.open(exporting?.record);
    exporting?.adopt(open);
    for (const live of open) if (live.usesLog) leases.grant(live);
    await deadlines.restore(open);
    retention.start();
    const listener = await listen(config.listen, handle, {
      tls: config.tls,
      limits: config.limits,
      clock,
      logger,
      dropped: () => metrics.connectionDropped(),
    });
    addGauges(metrics.registry, { jobs: inMemory, loop, connections: () => listener.connections });
    warnOfOtherHost(config.listen, config.tls, logger);
    logger.info("Tracker listens", { address: listener.address, data: config.dataDirectory });
    let closing: Promise<void> | undefined;
    const close = (): Promise<void> => {
      closing ??= (async () => {
        health.stop();
        sessions.drain();
        const closed = listener.close(config.drainTimeout);
        shutdown.abort(new ConnectError("The tracker stops", Code.Unavailable));
        await closed;
        await stop();
        logger.info("Tracker stopped");
      })();
      return closing;
    };
    const reload: Tracker["reload"] = (changed) => {
      const { tls, tokens } = checkOptions("Tracker.reload", changed, RELOAD_RULES);
      if (tokens !== undefined) checkTokens(tokens);
      if (tls !== undefined) listener.replaceTls(tls);
      if (tokens !== undefined) gate?.replace(tokens);
    };
    return { address: listener.address, reload, close, [Symbol.asyncDispose]: close };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Clients check the certificate for the host that they call. */
function warnOfOtherHost(listen: ListenAddress, tls: TrackerTls | undefined, logger: Logger): void {
  if (tls === undefined || listen.kind === "unix" || /^(?:0\.0\.0\.0|::)$/.test(listen.host)) return;
  const names = namesWithout(tls.cert, listen.host.replace(/%.*$/, ""));
  if (names === undefined) return;
  logger.warn("The certificate is for other hosts: clients that call this address refuse it", {
    address: listen.host,
    names,
  });
}

/** OpenTelemetry's SDK is as large as the tracker, so it is loaded only where it is used. */
async function exportTo(
  options: OtlpOptions | undefined,
  context: Omit<ExportContext, "options">,
): Promise<Export | undefined> {
  if (options === undefined) return undefined;
  const { startExport } = await import("./otel/export.ts");
  return startExport({ ...context, options });
}

import { Code, ConnectError } from "@connectrpc/connect";
import { compressionGzip } from "@connectrpc/connect-node";
import { systemClock } from "../base/clock.ts";
import { VERSION } from "../base/version.ts";
import { JobService } from "../gen/belay/v1/job_service_pb.ts";
import { TrackerService } from "../gen/belay/v1/tracker_service_pb.ts";
import { Health } from "../gen/grpc/health/v1/health_pb.ts";
import { compileOptions } from "./config.ts";
import { jobService } from "./control/job-service.ts";
import { HealthState } from "./health.ts";
import { Leases } from "./jobs/leases.ts";
import { JobRegistry } from "./jobs/registry.ts";
import { TokenGate, callerOf } from "./net/caller.ts";
import { callGate } from "./net/gate.ts";
import { createHandler, sendText } from "./net/handler.ts";
import { listen } from "./net/listener.ts";
import type { Tracker, TrackerOptions } from "./options.ts";
import { MAX_MESSAGE_BYTES, SessionService } from "./sessions/session-service.ts";
import { Retention } from "./retention.ts";
import { openStore } from "./store/sqlite-store.ts";

/** Longest timeout that `setTimeout` takes; a call with a longer one would be aborted at once. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1;
/** Messages that no answer reaches: compressing costs ten times the CPU of sending plain. */
const NEVER_COMPRESS = 0xffff_ffff;

/**
 * Starts a tracker: opens the data directory, gives every job that was running a full lease, and listens.
 *
 * @throws BelayError `BAD_USAGE`, `STORE`, `ADDRESS_IN_USE`
 */
export async function startTracker(options: TrackerOptions): Promise<Tracker> {
  const config = compileOptions(options);
  const { logger } = config;
  const gate = config.tokens === undefined ? undefined : new TokenGate(config.tokens);
  const clock = systemClock;
  const store = openStore(config.dataDirectory, logger, config.store);
  const registry = new JobRegistry(store, clock, logger);
  const leases = new Leases(registry, config.lease, logger);
  const retention = new Retention(registry, config.retention, logger);
  const { heartbeatInterval } = config;
  const sessions = new SessionService({
    registry,
    leases,
    logger,
    heartbeatInterval,
    trackerVersion: VERSION,
    callerOf,
  });
  const health = new HealthState();
  const shutdown = new AbortController();
  const handle = createHandler(
    {
      readMaxBytes: MAX_MESSAGE_BYTES,
      maxTimeoutMs: MAX_TIMEOUT_MS,
      acceptCompression: [compressionGzip],
      compressMinBytes: NEVER_COMPRESS,
      shutdownSignal: shutdown.signal,
      requestGate: callGate(gate, config.limits, clock, () => undefined),
    },
    (router) => {
      router.service(TrackerService, sessions.implementation);
      router.service(JobService, jobService({ registry, callerOf, specBytes: config.limits.specBytes }));
      router.service(Health, health.implementation);
    },
    (request, response) => {
      const isHealth = request.url === "/healthz";
      if (!isHealth) sendText(response, 404, `Nothing at ${request.url?.slice(0, 100)}: this is a Belay tracker`);
      else sendText(response, health.isServing ? 200 : 503, health.isServing ? "ok" : "stopping");
    },
    { logger, clock, requestTimeout: config.limits.requestTimeout },
  );

  async function stop(): Promise<void> {
    leases.close();
    await retention.close();
    for (const live of registry.inMemory()) await live.releaseLog();
    await store.close();
  }

  try {
    for (const live of await registry.open()) if (live.attempt !== undefined) leases.grant(live);
    retention.start();
    const listener = await listen(config.listen, handle, {
      tls: config.tls,
      limits: config.limits,
      clock,
      logger,
      dropped: () => undefined,
    });
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
    return { address: listener.address, close, [Symbol.asyncDispose]: close };
  } catch (error) {
    await stop();
    throw error;
  }
}

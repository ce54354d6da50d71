import { hostname } from "node:os";
import { OTLPMetricExporter } from "@opentelemetry/exporter-metrics-otlp-proto";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import type { Resource } from "@opentelemetry/resources";
import { detectResources, envDetector, resourceFromAttributes } from "@opentelemetry/resources";
import type { PushMetricExporter } from "@opentelemetry/sdk-metrics";
import { PeriodicExportingMetricReader } from "@opentelemetry/sdk-metrics";
import type { Clock } from "../../base/clock.ts";
import type { Logger } from "../../base/logger.ts";
import type { MetricsRegistry } from "../../base/prometheus.ts";
import { VERSION } from "../../base/version.ts";
import type { LiveJob } from "../jobs/live-job.ts";
import type { Recorder } from "../jobs/registry.ts";
import type { OtlpOptions } from "../options.ts";
import type { SpanQueue } from "../store/span-queue.ts";
import { Collector } from "./collector.ts";
import { JobValues } from "./job-values.ts";
import { readableSpan } from "./readable-span.ts";
import { SpanPump } from "./span-pump.ts";
import { SpanRecorder } from "./span-recorder.ts";
import { UsageProducer } from "./usage-producer.ts";

// The only file that loads OpenTelemetry's SDK. It is loaded only when there is an endpoint.

/** Default time between two exports of metrics. */
const METRICS_INTERVAL_MS = 10_000;
/** Longest time that the tracker's stop waits for exports. Spans that are left wait for the next start. */
const FLUSH_TIMEOUT_MS = 3_000;

/** What is exported, and where to. */
export interface ExportContext {
  readonly options: OtlpOptions;
  readonly spans: SpanQueue;
  readonly clock: Clock;
  /** The jobs in memory. */
  readonly jobs: () => Iterable<LiveJob>;
  readonly metrics: MetricsRegistry;
  readonly logger: Logger;
}

/** A running export. */
export interface Export {
  readonly record: Recorder;
  /** Registers the jobs that the tracker found when it started. */
  adopt(jobs: readonly LiveJob[]): void;
  /** Sends what is waiting, for at most this many milliseconds, then stops. */
  close(ms: number): Promise<void>;
}

/** Starts to export jobs as spans, and what they use as metrics. */
export function startExport({ options, spans: queue, clock, jobs, metrics, logger }: ExportContext): Export {
  const collector = new Collector(options);
  const resource = resourceOf();
  const spans = new OTLPTraceExporter(collector.exporterOptions("traces"));
  const pump = new SpanPump({
    queue,
    send: (records) => {
      const readable = records.map((record) => readableSpan(record, resource));
      return collector.outcome((done) => spans.export(readable, done));
    },
    clock,
    logger,
  });
  const recorder = new SpanRecorder(clock);
  const values = new JobValues();
  const interval = options.metricsInterval ?? METRICS_INTERVAL_MS;
  const record: Recorder = (live, parts) => {
    if (interval > 0) values.record(live, parts);
    const trace = recorder.record(live, parts);
    if (trace !== undefined && trace.ended.length > 0) pump.wake();
    return trace;
  };
  const failures = metrics.counter("belay_otlp_metrics_failures_total", "Exports of metrics that failed.");
  const reader = interval === 0 ? undefined : readerOf(collector, interval, () => failures.add());
  reader?.setMetricProducer(new UsageProducer(values, jobs, resource));
  metrics.gauge(
    "belay_otlp_spans_total",
    "Spans that have ended, by the result of their export.",
    () => [
      [{ result: "exported" }, pump.exported],
      [{ result: "refused" }, pump.refused],
      [{ result: "dropped" }, queue.dropped],
    ],
    "counter",
  );
  metrics.gauge("belay_otlp_spans_waiting", "Spans that wait to be exported.", () => queue.count);
  metrics.gauge("belay_otlp_spans_waiting_bytes", "Bytes in the store of the spans that wait.", () => queue.bytes);
  metrics.gauge(
    "belay_otlp_jobs_left_out",
    "Running jobs whose usage is not exported: too many.",
    () => values.leftOut,
  );
  logger.info("Spans and metrics are exported", { to: collector.origin });
  return {
    record,
    adopt: (open) => {
      for (const live of open) recorder.adopt(live);
      pump.start();
    },
    close: async (ms) => {
      const bound = Math.min(ms, FLUSH_TIMEOUT_MS);
      // A failure has been counted where it happened.
      await Promise.all([pump.close(bound), reader?.shutdown({ timeoutMillis: bound }).catch(() => undefined)]);
      collector.cut();
    },
  };
}

function readerOf(collector: Collector, interval: number, failed: () => void): PeriodicExportingMetricReader {
  const exporter = new OTLPMetricExporter(collector.exporterOptions("metrics"));
  const watched: PushMetricExporter = {
    export: (batch, done) => {
      const over = collector.outcome((result) => {
        exporter.export(batch, (outcome) => {
          result(outcome);
          done(outcome);
        });
      });
      void over.then((problem) => (problem === undefined ? undefined : failed()));
    },
    forceFlush: () => exporter.forceFlush(),
    shutdown: () => exporter.shutdown(),
  };
  return new PeriodicExportingMetricReader({
    exporter: watched,
    exportIntervalMillis: interval,
    // The next export may begin after this.
    exportTimeoutMillis: Math.min(interval, collector.timeout),
  });
}

/** Describes this tracker. `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` take precedence. */
function resourceOf(): Resource {
  const own = resourceFromAttributes({
    "service.name": "belay",
    "service.version": VERSION,
    "host.name": hostname(),
  });
  return own.merge(detectResources({ detectors: [envDetector] }));
}

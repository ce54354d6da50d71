import type { Interceptor } from "@connectrpc/connect";
import { Code, ConnectError } from "@connectrpc/connect";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { CommandRecord, JobResult } from "../../gen/belay/v1/job_pb.ts";
import { CommandState, FailureClass } from "../../gen/belay/v1/job_pb.ts";
import { failureClass } from "../../contract/failure-class.ts";
import { className } from "../../contract/names.ts";
import type { Counter, Histogram } from "../../base/prometheus.ts";
import { MetricsRegistry } from "../../base/prometheus.ts";
import type { JobObserver } from "../jobs/registry.ts";
import type { StoreObserver } from "../store/observer.ts";

/** Buckets in seconds: from the time of a memory access to longer than any client waits. */
const SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

/** The tracker's counters. Their names are part of the contract: they do not change. */
export class TrackerMetrics implements StoreObserver, JobObserver {
  readonly registry: MetricsRegistry = new MetricsRegistry();
  private readonly logBytes: Counter;
  private readonly logWrites: Histogram;
  private readonly lag: Histogram;
  private readonly commits: Histogram;
  private readonly changes: Counter;
  private readonly failures: Counter;
  private readonly damage: Counter;
  private readonly commandReceived: Histogram;
  private readonly commandDone: Histogram;
  private readonly calls: Counter;
  private readonly dropped: Counter;
  private readonly attemptsEnded: Counter;

  constructor() {
    const { registry } = this;
    this.logBytes = registry.counter("belay_log_bytes_total", "Bytes of records written to logs.");
    this.logWrites = registry.histogram("belay_log_write_seconds", "Time of one write to a log.", SECONDS);
    this.lag = registry.histogram(
      "belay_log_commit_lag_seconds",
      "From the read of output on the worker to its commit here, by both machines' clocks.",
      SECONDS,
    );
    this.commits = registry.histogram("belay_store_commit_seconds", "Time of one transaction.", SECONDS);
    this.changes = registry.counter("belay_store_changes_total", "Changes to jobs that were stored.");
    this.failures = registry.counter("belay_store_failures_total", "Writes and transactions that failed.");
    this.damage = registry.counter(
      "belay_log_damage_total",
      "Places at which a stored log was found to be damaged, each counted once.",
    );
    this.commandReceived = registry.histogram(
      "belay_command_received_seconds",
      "From a command's issue until its agent has received it.",
      SECONDS,
    );
    this.commandDone = registry.histogram(
      "belay_command_done_seconds",
      "From a command's issue until it is carried out or rejected.",
      SECONDS,
    );
    this.calls = registry.counter("belay_calls_total", "Calls that have ended, by method and status code.");
    this.attemptsEnded = registry.counter(
      "belay_attempts_ended_total",
      "Attempts that have ended, by failure class; none: they succeeded.",
    );
    this.dropped = registry.counter(
      "belay_connections_refused_total",
      "Connections closed because too many were open.",
    );
  }

  logWritten(bytes: number, took: number, lag: number): void {
    this.logBytes.add(bytes);
    this.logWrites.observe(took / 1000);
    this.lag.observe(Math.max(0, lag) / 1000);
  }

  committed(changes: number, took: number): void {
    this.changes.add(changes);
    this.commits.observe(took / 1000);
  }

  failed(): void {
    this.failures.add();
  }

  logDamaged(): void {
    this.damage.add();
  }

  commandStored({ state, issueTime, updateTime }: CommandRecord): void {
    if (issueTime === undefined || updateTime === undefined) return;
    const seconds = (timestampMs(updateTime) - timestampMs(issueTime)) / 1000;
    if (state === CommandState.RECEIVED) this.commandReceived.observe(seconds);
    else if (state >= CommandState.COMPLETED) this.commandDone.observe(seconds);
  }

  attemptEnded(result: JobResult): void {
    const failure = result.failureClass === FailureClass.UNSPECIFIED ? failureClass(result) : result.failureClass;
    this.attemptsEnded.add(1, {
      class: failure === FailureClass.UNSPECIFIED ? "none" : className(failure).toLowerCase(),
    });
  }

  connectionDropped(): void {
    this.dropped.add();
  }

  /** Counts a call that has ended. */
  called(method: string, code: string): void {
    this.calls.add(1, { method, code });
  }

  /** Counts calls by method and status code. */
  get interceptor(): Interceptor {
    return (next) => async (request) => {
      const { name } = request.method;
      try {
        const response = await next(request);
        if (!response.stream) this.called(name, "ok");
        else return { ...response, message: this.counted(name, response.message) };
        return response;
      } catch (error) {
        this.called(name, codeOf(error));
        throw error;
      }
    };
  }

  private async *counted<T>(name: string, messages: AsyncIterable<T>): AsyncGenerator<T, void> {
    let code = "canceled";
    try {
      yield* messages;
      code = "ok";
    } catch (error) {
      code = codeOf(error);
      throw error;
    } finally {
      this.called(name, code);
    }
  }
}

/** The code of an error in Connect's spelling: `resource_exhausted`. */
export function codeOf(error: unknown): string {
  return (Code[ConnectError.from(error).code] ?? "unknown").replaceAll(/(?<!^)[A-Z]/g, (c) => `_${c}`).toLowerCase();
}

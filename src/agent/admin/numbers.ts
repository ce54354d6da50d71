import { addProcessGauges } from "../../base/process/process-gauges.ts";
import type { MetricsRegistry } from "../../base/prometheus.ts";
import { VERSION } from "../../base/version.ts";
import { JobState, type StreamTotals } from "../../gen/belay/v1/job_pb.ts";
import { LANES } from "../report/spool.ts";
import type { AgentFacts } from "./facts.ts";
import { stateName, streamName } from "../../contract/names.ts";
import { ENDED_STATES, LIVE_STATES } from "../../contract/states.ts";

/** Adds all metrics of an agent. Their names are part of the contract: they do not change. */
export function addNumbers(metrics: MetricsRegistry, facts: AgentFacts): void {
  metrics.gauge("belay_agent_info", "The agent's version, its job and attempt.", () => [
    [{ version: VERSION, job: facts.jobId, attempt: String(facts.session().attempt) }, 1],
  ]);
  metrics.gauge("belay_agent_job_state", "1 for the state that the job is in.", () =>
    STATES.map(([state, name]) => [{ state: name }, facts.jobState() === state ? 1 : 0]),
  );
  addSession(metrics, facts);
  const lanes = (read: (lane: (typeof LANES)[number]) => number) => () =>
    LANES.map((lane) => [{ lane }, read(lane)] as const);
  metrics.gauge(
    "belay_agent_records_produced_total",
    "Records made, by lane.",
    lanes((lane) => facts.spool.nextSequence(lane) - 1),
    "counter",
  );
  metrics.gauge(
    "belay_agent_records_committed_total",
    "Records that the tracker has confirmed, by lane.",
    lanes((lane) => facts.spool.committed(lane)),
    "counter",
  );
  metrics.gauge("belay_agent_spool_bytes", "Bytes that wait for the tracker.", () => [
    [{ place: "memory" }, facts.spool.memoryBytes],
    [{ place: "disk" }, facts.spool.diskBytes],
  ]);
  metrics.gauge("belay_agent_spool_full", "1 while the spool is full.", () => (facts.spool.full ? 1 : 0));
  const streams = (read: (totals: StreamTotals) => bigint) => () =>
    facts.streams().map((totals) => [{ stream: streamName(totals.stream) }, Number(read(totals))] as const);
  const counters: [string, string, (totals: StreamTotals) => bigint][] = [
    ["belay_agent_log_bytes_total", "Bytes of output, including dropped ones.", ({ bytes }) => bytes],
    ["belay_agent_log_lines_total", "Lines of output that were kept.", ({ lines }) => lines],
    ["belay_agent_log_dropped_bytes_total", "Bytes of output that were dropped.", ({ droppedBytes }) => droppedBytes],
  ];
  for (const [name, help, read] of counters) metrics.gauge(name, help, streams(read), "counter");
  addProcessGauges(metrics);
}

function addSession(metrics: MetricsRegistry, facts: AgentFacts): void {
  metrics.gauge("belay_agent_connected", "1 while the agent is connected to a tracker.", () =>
    facts.session().connected ? 1 : 0,
  );
  metrics.gauge(
    "belay_agent_streams_total",
    "Streams opened: the first, and one for each time the agent connected again.",
    () => facts.session().streams,
    "counter",
  );
  metrics.gauge(
    "belay_agent_loop_delay_seconds",
    "Longest time for which the event loop was blocked, within two heartbeats.",
    () => facts.session().loopDelay / 1000,
  );
}

/** The job states that an agent can observe. */
const STATES: readonly (readonly [JobState, string])[] = [...LIVE_STATES, ...ENDED_STATES]
  .filter((state) => state !== JobState.LOST)
  .map((state) => [state, stateName(state).toLowerCase()] as const);

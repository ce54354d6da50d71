import { residentMemory } from "./resident-memory.ts";
import type { MetricsRegistry } from "../prometheus.ts";

/** Adds the process metrics of Prometheus's own client libraries, under the same names. */
export function addProcessGauges(metrics: MetricsRegistry): void {
  metrics.gauge("process_resident_memory_bytes", "Resident memory.", () => residentMemory());
  const cpu = (): number => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1e6;
  };
  metrics.gauge("process_cpu_seconds_total", "Processor time.", cpu, "counter");
  const started = Math.floor(performance.timeOrigin / 1000);
  metrics.gauge("process_start_time_seconds", "Start, since the Unix epoch.", () => started);
}

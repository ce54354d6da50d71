import { sleep } from "../../base/clock.ts";
import { LogStream } from "../../gen/belay/v1/job_pb.ts";
import type { Job } from "../../gen/belay/v1/job_pb.ts";
import { formatSize } from "../../contract/sizes.ts";
import type { JobClient } from "../client/client.ts";
import { readLogs, readMetrics, watchJob } from "../client/resume.ts";
import { clean } from "../render/clean.ts";
import { metricsText } from "../render/usage.ts";
import type { DemoPrinter } from "./demo-printer.ts";
import { containmentName, streamName } from "../../contract/names.ts";
import { isEnded } from "../../contract/states.ts";

/** Time between two checks for a heartbeat. */
const HEARTBEAT_LOOK_MS = 250;

/** Shows each change of a job; returns the ended job. */
export async function showChanges(client: JobClient, jobId: string, printer: DemoPrinter): Promise<Job> {
  let state = -1;
  let agent = "";
  for await (const job of watchJob(client, jobId)) {
    const attempt = job.attempts.at(-1);
    if (agent === "" && attempt?.agent !== undefined) {
      const { hostname, pid, containment } = attempt.agent;
      agent = `on ${clean(hostname)}, pid ${pid}; keeps its job in a ${containmentName(containment)}`;
      await printer.arrived("agent", agent);
    }
    if (job.state !== state) await printer.arrived("state", printer.style.state(job.state));
    state = job.state;
    if (isEnded(job.state)) return job;
  }
  throw new Error(`The tracker's stream of job ${jobId} ended before the job`);
}

/** Shows the agent's heartbeats until the job has ended. A heartbeat does not count as a change: the job is polled. */
export async function showHeartbeats(client: JobClient, jobId: string, printer: DemoPrinter): Promise<void> {
  let seen = 0n;
  for (;;) {
    const { job } = await client.call((jobs) => jobs.getJob({ jobId }));
    if (job === undefined || isEnded(job.state)) return;
    const heartbeat = job.attempts.at(-1)?.heartbeat;
    if (heartbeat !== undefined && heartbeat.nonce !== seen) {
      seen = heartbeat.nonce;
      const memory = formatSize(heartbeat.agentMemoryBytes);
      await printer.arrived("heartbeat", `the agent is alive and itself uses ${memory}`);
    }
    await sleep(HEARTBEAT_LOOK_MS);
  }
}

/** Shows the log as it arrives, line by line, and calls `seen` with each line. Returns at the log's end. */
export async function showLog(
  client: JobClient,
  jobId: string,
  printer: DemoPrinter,
  seen: (line: string) => void = () => undefined,
): Promise<void> {
  const rest = new Map<LogStream, string>();
  for await (const { chunks } of readLogs(client, { jobId, follow: true })) {
    for (const { stream, content } of chunks) {
      if (content.case !== "data") continue;
      const text = (rest.get(stream) ?? "") + Buffer.from(content.value).toString("utf8");
      const lines = text.split("\n");
      rest.set(stream, lines.pop() ?? "");
      for (const line of lines) {
        const shown = stream === LogStream.STDERR ? printer.style.yellow(clean(line)) : clean(line);
        await printer.arrived(streamName(stream), shown);
        seen(line);
      }
    }
  }
}

/** Shows the job's resource use as it arrives. Returns at the job's end. */
export async function showMetrics(client: JobClient, jobId: string, printer: DemoPrinter): Promise<number> {
  let shown = 0;
  for await (const { samples } of readMetrics(client, { jobId, follow: true })) {
    for (const sample of samples) {
      // The first sample of a step has no processor share yet.
      if (sample.cpuCores === undefined) continue;
      shown++;
      await printer.arrived("metrics", metricsText(sample));
    }
  }
  return shown;
}

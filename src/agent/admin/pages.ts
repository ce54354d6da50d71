import type { IncomingMessage, ServerResponse } from "node:http";
import type { MetricsRegistry } from "../../base/prometheus.ts";
import { JobStateSchema } from "../../gen/belay/v1/job_pb.ts";
import type { AgentFacts } from "./facts.ts";

/**
 * Answers a request for one of the agent's pages.
 *
 * | page       | answer                                                                                      |
 * |------------|---------------------------------------------------------------------------------------------|
 * | `/healthz` | 200 while the agent works, 503 when its session is closed and the agent only has to end     |
 * | `/readyz`  | 200 while the agent is connected to a tracker, else 503                                     |
 * | `/metrics` | metrics for Prometheus                                                                      |
 *
 * An agent without its tracker is alive: its job runs, and the job's output is kept. A probe that killed the agent for
 * that would kill the job. An agent that is stuck does not answer; a client notices that by its own time-out.
 */
export function answer(
  request: IncomingMessage,
  response: ServerResponse,
  facts: AgentFacts,
  numbers: MetricsRegistry,
): void {
  const path = request.url?.split("?", 1)[0] ?? "";
  if (request.method !== "GET" && request.method !== "HEAD") {
    response.setHeader("allow", "GET, HEAD");
    send(response, 405, "text/plain; charset=utf-8", "The pages are read-only: expected GET");
  } else if (path === "/healthz") {
    const { kind } = facts.session().state;
    send(response, kind === "closed" ? 503 : 200, "application/json", healthText(facts));
  } else if (path === "/readyz") {
    send(response, facts.session().connected ? 200 : 503, "application/json", healthText(facts));
  } else if (path === "/metrics") {
    send(response, 200, "text/plain; version=0.0.4; charset=utf-8", numbers.text().trimEnd());
  } else {
    send(response, 404, "text/plain; charset=utf-8", `Nothing at ${path.slice(0, 100)}: this is a Belay agent`);
  }
}

function healthText(facts: AgentFacts): string {
  const { state, connected, attempt, streams, loopDelay } = facts.session();
  return JSON.stringify({
    job: facts.jobId,
    attempt,
    state: JobStateSchema.value[facts.jobState()]?.localName ?? "",
    session: state.kind,
    connected,
    ...("address" in state && { tracker: state.address }),
    ...("why" in state && { why: state.why }),
    streams,
    loopDelayMs: Math.round(loopDelay),
  });
}

function send(response: ServerResponse, status: number, type: string, text: string): void {
  response.writeHead(status, { "content-type": type, "cache-control": "no-store" });
  response.end(`${text}\n`);
}

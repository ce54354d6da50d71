import { expect, test } from "vitest";
import { EndReason, FailureClass, HealthStatus, Outcome } from "../../../src/gen/belay/v1/job_pb.ts";
import { ScriptedAgent, waitForJob } from "../../../src/testing/index.ts";
import { metricsOf } from "../../helpers/metrics-page.ts";
import { someSpec, testTracker } from "../../helpers/tracker.ts";

test("/metrics counts attempts by health while they run, and by failure class once they have ended", async () => {
  const { address, jobs } = await testTracker();
  const agents = ["ok", "stalled", "silent", "away"].map((jobId) => ScriptedAgent.connect({ url: address, jobId }));
  for (const agent of agents) await agent.hello({ spec: someSpec });
  const [ok, stalled, silent, away] = agents;
  ok?.event({ case: "health", value: { status: HealthStatus.OK } });
  stalled?.event({ case: "health", value: { status: HealthStatus.STALLED } });
  for (const agent of [ok, stalled]) await agent?.acked(1n, 0n);
  away?.vanish();
  await waitForJob(jobs, "away", ({ attempts }) => attempts[0]?.health?.status === HealthStatus.DISCONNECTED);
  const before = await metricsOf(address);
  expect(before).toMatchObject({
    'belay_attempt_health{status="ok"}': 1,
    'belay_attempt_health{status="stalled"}': 1,
    'belay_attempt_health{status="disconnected"}': 1,
    belay_jobs_between_attempts: 0,
    belay_attempts_ended_total: 0,
  });
  expect(Object.keys(before).filter((name) => name.startsWith("belay_attempt_health"))).toHaveLength(3);
  ok?.result();
  stalled?.result({ outcome: Outcome.FAILED, reason: EndReason.EXITED, exitCode: 1 });
  const failureClass = FailureClass.PREEMPTED;
  silent?.result({ outcome: Outcome.CANCELED, reason: EndReason.AGENT_STOPPED, failureClass });
  for (const agent of [ok, stalled, silent]) {
    await agent?.next("receipt");
    // The rest of an ended job's changes are not counted as further ends.
    agent?.print("late");
    agent?.vanish();
  }
  const after = await metricsOf(address);
  expect(after).toMatchObject({
    'belay_attempts_ended_total{class="none"}': 1,
    'belay_attempts_ended_total{class="job"}': 1,
    'belay_attempts_ended_total{class="preempted"}': 1,
    'belay_attempt_health{status="disconnected"}': 1,
  });
  expect(Object.keys(after).filter((name) => name.startsWith("belay_attempt_health"))).toHaveLength(1);
});

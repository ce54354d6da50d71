import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type Attempt, type Health, HealthSchema, HealthStatus } from "../../gen/belay/v1/job_pb.ts";
import type { LiveJob } from "./live-job.ts";

/** Most characters of an agent's sentence about the health of its attempt. */
const MOST_MESSAGE = 1024;

/** What an agent may report. DISCONNECTED is not in it: an agent that reports is connected. */
const REPORTED: ReadonlySet<HealthStatus> = new Set([
  HealthStatus.OK,
  HealthStatus.STALLED,
  HealthStatus.NEAR_MEMORY_LIMIT,
  HealthStatus.STARVED,
  HealthStatus.AGENT_SLOW,
]);

/**
 * Records what an agent reports about the health of its attempt.
 *
 * @returns whether it has changed. A status from a newer contract, and one that only the tracker sets, change nothing
 */
export function putHealth(attempt: Attempt, health: Health): boolean {
  if (attempt.result !== undefined || !REPORTED.has(health.status)) return false;
  attempt.health = create(HealthSchema, { ...health, message: health.message.slice(0, MOST_MESSAGE) });
  return true;
}

/**
 * The health of the latest attempt as it is shown: what its agent reported, unless the agent has no stream, which is
 * more severe than anything that it can report.
 *
 * @returns undefined: there is no attempt under way, or its agent has reported nothing
 */
export function healthOf({ attempt, disconnectedAt }: LiveJob): Health | undefined {
  if (attempt === undefined || attempt.result !== undefined || attempt.superseded) return undefined;
  if (disconnectedAt === undefined) return attempt.health;
  const host = attempt.agent?.hostname ?? "";
  return create(HealthSchema, {
    status: HealthStatus.DISCONNECTED,
    since: timestampFromMs(disconnectedAt),
    message: `The agent${host === "" ? "" : ` on ${host}`} is not connected to the tracker`,
  });
}

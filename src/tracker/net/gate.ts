import type { HandlerContext } from "@connectrpc/connect";
import { Code, ConnectError } from "@connectrpc/connect";
import type { Clock } from "../../base/clock.ts";
import { JobService } from "../../gen/belay/v1/job_service_pb.ts";
import { TrackerService } from "../../gen/belay/v1/tracker_service_pb.ts";
import type { TrackerLimits } from "../options.ts";
import { CallLimit } from "./limits/call-limit.ts";
import type { TokenGate } from "./caller.ts";
import { whenOverKey, callerOf, limitedClient, nodeRequestKey } from "./caller.ts";
import type { PageGuard } from "./page-guard.ts";
import { RateLimit } from "./limits/rate-limit.ts";

/**
 * Streams that a token for one job may have open. Its agent needs one; a bad network may leave others open until the
 * tracker notices that they are dead.
 */
const MAX_STREAMS_OF_JOB_TOKEN = 64;

/**
 * What every call passes before a byte of its body is read: its token, how often its client calls, and how many calls
 * the client has under way. The rate of agents' streams is not limited: after an outage all agents come at once, as
 * they must.
 *
 * @param guard keeps web pages out. Undefined: something else proves who calls
 * @param refused called with each call that was refused, and why
 */
export function callGate(
  tokens: TokenGate | undefined,
  guard: PageGuard | undefined,
  limits: TrackerLimits,
  clock: Clock,
  refused: (method: string, error: unknown) => void,
): (context: HandlerContext) => Promise<void> {
  const rate = new RateLimit(clock, limits.callsPerSecond);
  const agents = new CallLimit(limits.agentsPerClient);
  const calls = new CallLimit(limits.callsPerClient);

  async function check(context: HandlerContext): Promise<void> {
    await tokens?.check(context);
    const request = context.values.get(nodeRequestKey);
    const foreign = request === undefined ? undefined : guard?.problem(request);
    if (foreign !== undefined) throw new ConnectError(foreign, Code.PermissionDenied);
    const client = limitedClient(context);
    if (context.service.typeName === TrackerService.typeName) {
      acceptAgent(context, client);
      return;
    }
    if (context.service.typeName === JobService.typeName) countCall(client);
    const most = calls.accept(client, context.values.get(whenOverKey));
    if (most === undefined) return;
    throw new ConnectError(
      `More than ${most} calls under way by ${client}: end some, such as watches and followed logs, or raise the ` +
        "tracker's --max-client-calls",
      Code.ResourceExhausted,
    );
  }

  function acceptAgent(context: HandlerContext, client: string): void {
    const { jobId } = callerOf(context);
    const ofJob = jobId === undefined ? undefined : MAX_STREAMS_OF_JOB_TOKEN;
    const most = agents.accept(client, context.values.get(whenOverKey), ofJob);
    if (most === undefined) return;
    const advice =
      most === limits.agentsPerClient
        ? "give some agents another token, or raise the tracker's --max-client-agents"
        : "a token for one job is for one agent";
    throw new ConnectError(`More than ${most} agents' streams open by ${client}: ${advice}`, Code.ResourceExhausted);
  }

  function countCall(client: string): void {
    const wait = rate.take(client);
    if (wait === 0) return;
    throw new ConnectError(
      `More than ${limits.callsPerSecond} calls a second by ${client}: try again in ${wait} ms`,
      Code.ResourceExhausted,
    );
  }

  return async (context) => {
    try {
      await check(context);
    } catch (error) {
      refused(context.method.name, error);
      throw error;
    }
  };
}

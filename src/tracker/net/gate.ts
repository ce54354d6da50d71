import type { HandlerContext } from "@connectrpc/connect";
import { Code, ConnectError } from "@connectrpc/connect";
import type { Clock } from "../../base/clock.ts";
import { JobService } from "../../gen/belay/v1/job_service_pb.ts";
import type { TrackerLimits } from "../options.ts";
import type { TokenGate } from "./caller.ts";
import { addressOf, callerOf } from "./caller.ts";
import { RateLimit } from "./rate-limit.ts";

/**
 * What every call passes before a byte of its body is read: its token, then how often its caller calls. Agents'
 * streams are not counted: after an outage all of them come at once, and that is well.
 *
 * @param refused is told why a call was refused
 */
export function callGate(
  tokens: TokenGate | undefined,
  limits: TrackerLimits,
  clock: Clock,
  refused: (method: string, error: unknown) => void,
): (context: HandlerContext) => Promise<void> {
  const rate = new RateLimit(clock, limits.callsPerSecond);
  async function check(context: HandlerContext): Promise<void> {
    await tokens?.check(context);
    if (context.service.typeName !== JobService.typeName) return;
    const { principal } = callerOf(context);
    const caller = principal === "" ? addressOf(context) : principal;
    const wait = rate.take(caller);
    if (wait === 0) return;
    throw new ConnectError(
      `More than ${limits.callsPerSecond} calls a second by ${caller}: try again in ${wait} ms`,
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

import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { residentMemory } from "../../base/process/resident-memory.ts";
import { type Heartbeat, HeartbeatSchema } from "../../gen/belay/v1/job_pb.ts";
import { type Hello, HelloSchema } from "../../gen/belay/v1/tracker_service_pb.ts";
import { COMMAND_KINDS } from "../../contract/commands.ts";
import { FEATURES } from "../../contract/features.ts";
import { LANES } from "../report/spool.ts";
import { MAX_MESSAGE_BYTES } from "./dial.ts";
import type { SessionIdentity, SessionOptions } from "./session-options.ts";

/** The first message of a session on each new stream. */
export function helloOf(
  { identity, spool, handlers }: SessionOptions,
  { attempt, admittedOnce }: { readonly attempt: number; readonly admittedOnce: boolean },
): Hello {
  return create(HelloSchema, {
    sessionId: identity.sessionId,
    jobId: identity.jobId,
    attempt,
    agent: identity.agent,
    // A tracker that has admitted the session has the spec.
    ...(!admittedOnce && specsOf(identity)),
    supportedCommands: Object.values(COMMAND_KINDS),
    lowestEventSequence: BigInt(spool.lowestHeld("events")),
    lowestLogSequence: BigInt(spool.lowestHeld("logs")),
    state: handlers.jobState(),
    maxMessageBytes: MAX_MESSAGE_BYTES,
    nextAttemptFollows: identity.nextAttemptFollows ?? false,
    deliversOnly: identity.deliversOnly ?? false,
    features: [...FEATURES],
    // Once is enough: from then on the attempt is its own.
    takeOver: !admittedOnce && identity.takeOver === true,
  });
}

/** The agent's own state, as heartbeats carry it. @param loopDelay milliseconds, see `Heartbeat.event_loop_delay` */
export function heartbeatOf(
  { spool, handlers, clock }: SessionOptions,
  { nonce, streams, loopDelay }: { readonly nonce: bigint; readonly streams: number; readonly loopDelay: number },
): Heartbeat {
  const [events, logs] = LANES.map((lane) => ({
    lastProduced: BigInt(spool.nextSequence(lane) - 1),
    lastCommitted: BigInt(spool.committed(lane)),
  }));
  return create(HeartbeatSchema, {
    nonce,
    state: handlers.jobState(),
    ...(events !== undefined && { events }),
    ...(logs !== undefined && { logs }),
    spoolMemoryBytes: BigInt(spool.memoryBytes),
    spoolDiskBytes: BigInt(spool.diskBytes),
    eventLoopDelay: durationFromMs(Math.round(loopDelay)),
    agentMemoryBytes: BigInt(residentMemory()),
    streams,
    sendUnixNano: clock.unixNano(),
  });
}

function specsOf({ spec, shownSpec }: SessionIdentity): Pick<Hello, "spec" | "shownSpec"> {
  if (spec === undefined) return {};
  return shownSpec === undefined || shownSpec === spec ? { spec } : { spec, shownSpec };
}

import type { HandlerContext } from "@connectrpc/connect";
import { Code, ConnectError } from "@connectrpc/connect";
import { create, equals } from "@bufbuild/protobuf";
import { idProblem, shortId } from "../../base/ids.ts";
import type { CommandRecord, Job } from "../../gen/belay/v1/job_pb.ts";
import { CommandRecordSchema } from "../../gen/belay/v1/job_pb.ts";
import type {
  CancelJobRequest,
  PauseJobRequest,
  ResumeJobRequest,
  SignalJobRequest,
} from "../../gen/belay/v1/job_service_pb.ts";
import type { Command } from "../../gen/belay/v1/tracker_service_pb.ts";
import {
  CancelSchema,
  CommandSchema,
  PauseSchema,
  ResumeSchema,
  SignalSchema,
} from "../../gen/belay/v1/tracker_service_pb.ts";
import type { Order } from "../../contract/commands.ts";
import { addCommand, sendToAgent } from "../jobs/commands.ts";
import { endWaiting, isWaiting } from "../jobs/ending.ts";
import type { LiveJob } from "../jobs/live-job.ts";
import type { StoredCommand } from "../store/types.ts";
import { snapshotOf } from "../jobs/shown/snapshot.ts";
import { shownOf } from "../jobs/shown/shown.ts";
import { durationProblem, signalProblem } from "../jobs/spec.ts";
import type { ControlContext } from "./context.ts";
import { check, jobOf } from "./context.ts";
import { stateName } from "../../contract/names.ts";
import { isEnded } from "../../contract/states.ts";

const MAX_REASON_BYTES = 1024;

/** The answer to an order. */
export interface Ordered {
  job: Job;
  command?: CommandRecord;
  agentConnected: boolean;
}

/** Orders the end of a job. */
export async function cancelJob(
  context: ControlContext,
  request: CancelJobRequest,
  call: HandlerContext,
): Promise<Ordered> {
  const { registry, clock } = context;
  const { reason, gracePeriod } = request;
  const bytes = Buffer.byteLength(reason);
  check(bytes > MAX_REASON_BYTES ? `reason has ${bytes} bytes: expected at most ${MAX_REASON_BYTES}` : undefined);
  check(durationProblem("grace_period", gracePeriod));
  check(commandIdProblem(request.commandId));
  const live = await jobOf(registry, request.jobId);
  const value = create(CancelSchema, { reason, ...(gracePeriod === undefined ? {} : { gracePeriod }) });
  const wanted: Order = { case: "cancel", value };
  if (isWaiting(live)) {
    await registry.commit(live, { commands: endWaiting(live, reason, clock.now()), urgent: true });
    return { job: snapshotOf(live), agentConnected: false };
  }
  if (isEnded(live.job.state)) {
    const known = await knownCommand(context, live, wanted, request.commandId);
    if (known !== undefined) return ordered(live, known.record);
    return { job: snapshotOf(live), agentConnected: live.stream !== undefined };
  }
  return order(context, live, wanted, { id: request.commandId, reason, call });
}

/** Orders a signal. */
export async function signalJob(
  context: ControlContext,
  request: SignalJobRequest,
  call: HandlerContext,
): Promise<Ordered> {
  check(signalProblem("signal", request.signal));
  const value = create(SignalSchema, { name: request.signal });
  return orderRunning(context, request, call, { case: "signal", value });
}

/** Orders a pause. */
export function pauseJob(context: ControlContext, request: PauseJobRequest, call: HandlerContext): Promise<Ordered> {
  return orderRunning(context, request, call, { case: "pause", value: create(PauseSchema) });
}

/** Orders a paused job to continue. */
export function resumeJob(context: ControlContext, request: ResumeJobRequest, call: HandlerContext): Promise<Ordered> {
  return orderRunning(context, request, call, { case: "resume", value: create(ResumeSchema) });
}

/** The fields of every order to a job's processes. */
interface RunningRequest {
  readonly jobId: string;
  readonly commandId: string;
}

/** Gives an order that only a job with processes can carry out. */
async function orderRunning(
  context: ControlContext,
  request: RunningRequest,
  call: HandlerContext,
  wanted: Order,
): Promise<Ordered> {
  const live = await runningJob(context, request);
  return order(context, live, wanted, { id: request.commandId, reason: "", call });
}

async function runningJob(context: ControlContext, request: RunningRequest): Promise<LiveJob> {
  check(commandIdProblem(request.commandId));
  const live = await jobOf(context.registry, request.jobId);
  const { state } = live.job;
  if (!isWaiting(live) && !isEnded(state)) return live;
  // A repeated call is answered as the first one was, though the job has ended since.
  if (request.commandId !== "" && live.commands.has(request.commandId)) return live;
  throw new ConnectError(`No process of job "${live.id}" runs: it is ${stateName(state)}`, Code.FailedPrecondition);
}

async function order(
  context: ControlContext,
  live: LiveJob,
  wanted: Order,
  facts: { id: string; reason: string; call: HandlerContext },
): Promise<Ordered> {
  const { registry, clock } = context;
  const there = await knownCommand(context, live, wanted, facts.id);
  if (there !== undefined) return ordered(live, there.record);
  const { principal } = context.callerOf(facts.call);
  const id = facts.id === "" ? shortId() : facts.id;
  const command = addCommand(live, wanted, { id, reason: facts.reason, principal, now: clock.now() });
  try {
    await registry.commit(live, { commands: [command], urgent: true, lasting: true });
  } catch (error) {
    if (live.stream === undefined || live.abandoned) {
      live.commands.delete(id);
      throw error;
    }
    // The agent is connected, so the order must not wait for the disk. It is stored with its answer, once there is room.
    const { rawMessage } = ConnectError.from(error);
    command.record.message = `Sent to the agent, but ${rawMessage.charAt(0).toLowerCase()}${rawMessage.slice(1)}`;
  }
  const agentConnected = sendToAgent(live, command);
  // The order leaves with the next turn of the event loop; making the answer first would delay it.
  await new Promise((resolve) => setImmediate(resolve));
  return { ...ordered(live, command.record), agentConnected };
}

/**
 * The command of this id that was given before. Undefined: the id is new.
 *
 * @throws ConnectError ALREADY_EXISTS if it orders something else
 */
async function knownCommand(
  { store }: ControlContext,
  live: LiveJob,
  wanted: Order,
  id: string,
): Promise<StoredCommand | undefined> {
  if (id === "") return undefined;
  const stored = await store.command(live.key, id);
  const known = live.commands.get(id) ?? stored;
  if (known === undefined || isSameOrder(known.command.order, wanted)) return known;
  throw new ConnectError(`Job "${live.id}" has another command with the id "${id}"`, Code.AlreadyExists);
}

function isSameOrder(known: Command["order"], wanted: Order): boolean {
  return equals(CommandSchema, create(CommandSchema, { order: known }), create(CommandSchema, { order: wanted }));
}

function ordered(live: LiveJob, record: CommandRecord): Ordered {
  const command = shownOf(live.job).message(CommandRecordSchema, record);
  return { job: snapshotOf(live), command, agentConnected: live.stream !== undefined };
}

function commandIdProblem(id: string): string | undefined {
  const problem = id === "" ? undefined : idProblem(id);
  return problem === undefined ? undefined : `command_id ${problem}`;
}

import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { CommandRecord } from "../../gen/belay/v1/job_pb.ts";
import { CommandRecordSchema, CommandState } from "../../gen/belay/v1/job_pb.ts";
import type { Command } from "../../gen/belay/v1/tracker_service_pb.ts";
import { CommandSchema } from "../../gen/belay/v1/tracker_service_pb.ts";
import { COMMAND_KINDS, type Order } from "../../contract/commands.ts";
import type { StoredCommand } from "../store/types.ts";
import type { AgentConnection } from "./agent-connection.ts";
import type { LiveJob } from "./live-job.ts";

/** Makes a command and adds it to the job. It is sent by `sendToAgent`, once it is stored. */
export function addCommand(
  live: LiveJob,
  order: Order,
  facts: { id: string; reason: string; principal: string; now: number },
): StoredCommand {
  const issueTime = timestampFromMs(facts.now);
  const record: CommandRecord = create(CommandRecordSchema, {
    commandId: facts.id,
    kind: COMMAND_KINDS[order.case],
    state: CommandState.QUEUED,
    issueTime,
    updateTime: issueTime,
    reason: facts.reason,
    principal: facts.principal,
  });
  const command = create(CommandSchema, { commandId: facts.id, issueTime, order });
  const stored = { record, command };
  live.commands.set(facts.id, stored);
  if (live.stream !== undefined && !live.stream.supports(record.kind)) reject(stored, facts.now);
  return stored;
}

/**
 * Sends a stored command to the agent. If no agent is connected, the next Welcome brings it.
 *
 * @returns whether an agent is connected
 */
export function sendToAgent(live: LiveJob, stored: StoredCommand): boolean {
  if (live.stream === undefined) return false;
  if (stored.record.state < CommandState.COMPLETED) live.stream.send(stored.command);
  return true;
}

/** The commands that Welcome must bring to a new stream. Those that its agent does not know are rejected here. */
export function pendingFor(
  live: LiveJob,
  stream: AgentConnection,
  now: number,
): { commands: Command[]; rejected: StoredCommand[] } {
  const pending = live.pendingCommands;
  const rejected = pending.filter(({ record }) => !stream.supports(record.kind));
  for (const stored of rejected) reject(stored, now);
  const commands = pending.filter(({ record }) => stream.supports(record.kind)).map(({ command }) => command);
  return { commands: [...commands, ...[...live.probes.values()].map((probe) => probe.command)], rejected };
}

function reject({ record }: StoredCommand, now: number): void {
  record.state = CommandState.REJECTED;
  record.message = "The agent does not know commands of this kind";
  record.updateTime = timestampFromMs(now);
}

import { CommandKind } from "../gen/belay/v1/job_pb.ts";
import type { Command } from "../gen/belay/v1/tracker_service_pb.ts";

/** An order within a command, as a case of its `oneof`. */
export type Order = Exclude<Command["order"], { case: undefined }>;

/** The kind of each order. An order that is added to the contract does not compile until it has a row here. */
export const COMMAND_KINDS: Readonly<Record<Order["case"], CommandKind>> = {
  cancel: CommandKind.CANCEL,
  status: CommandKind.STATUS,
  signal: CommandKind.SIGNAL,
  pause: CommandKind.PAUSE,
  resume: CommandKind.RESUME,
};

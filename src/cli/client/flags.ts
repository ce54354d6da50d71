import type { Flag, Grouped, Values } from "../flags/flags.ts";
import type { ConnectionFlags } from "../flags/connection-flags.ts";
import { connectionFlags } from "../flags/connection-flags.ts";
import { duration, grouped, toggle } from "../flags/flags.ts";
import type { Io } from "../process/io.ts";
import type { JobClient } from "./client.ts";
import { openClient } from "./client.ts";

/** Flags of the commands that call JobService. */
export type ClientFlags = ConnectionFlags & Grouped<{ connectTimeout: Flag<number> }>;

/** See ClientFlags. */
export const clientFlags: ClientFlags = {
  ...connectionFlags,
  ...grouped("Tracker", {
    connectTimeout: duration({
      default: "10s",
      help: "how long to keep trying an unreachable tracker; 0: without limit",
    }),
  }),
};

/** `--json`, for commands that print data. */
export const jsonFlag: Grouped<{ json: Flag<boolean> }> = grouped("Output", {
  json: toggle({ variable: false, help: "print the contract's own messages as protobuf JSON, one object a line" }),
});

/** Opens the client that a command's flags describe; its messages go to standard error. */
export function clientOf(flags: Values<ClientFlags>, io: Io): Promise<JobClient> {
  return openClient({ ...flags, remark: (remark) => void io.stderr.write(`belay: ${remark}\n`) });
}

import { signToken } from "../../tracker/net/signed-token.ts";
import { BelayError } from "../../base/errors.ts";
import type { Command } from "../flags/command.ts";
import { command } from "../flags/command.ts";
import { EXIT_OK } from "../process/exit-codes.ts";
import { readFlagFile } from "../flags/flag-file.ts";
import { duration, grouped, text } from "../flags/flags.ts";
import { jobArgument, onlyJob } from "../flags/job-argument.ts";
import { linesOf } from "../flags/token-file.ts";

/** `belay token` */
export const token: Command = command({
  name: "token",
  args: [jobArgument],
  about:
    "Makes a token with which an agent may run this one job until the token expires. It allows nothing else: no reading, " +
    "no control, no other job. Needs no tracker, only a key that the tracker has in --token-keys.",
  flags: {
    ...grouped("General", {
      tokenKeys: text({ value: "FILE", help: "file with keys of signed tokens, one a line; the first one signs" }),
      expires: duration({
        variable: "BELAY_TOKEN_EXPIRES",
        default: "24h",
        help: "how long the token is valid; an agent sends it each time it connects, so longer than the job",
      }),
    }),
  },
  examples: [
    ["openssl rand -hex 32 > keys; belay tracker --token-keys keys", "the tracker gets a key"],
    ["belay token --token-keys keys train-17 > token", "valid for a day"],
    ["belay run --token-file token --job train-17 -- ./train.sh", "on the worker"],
  ],
  run: async ({ flags, args, io }) => {
    const jobId = onlyJob(args);
    if (flags.tokenKeys === undefined) {
      throw new BelayError(
        "BAD_USAGE",
        'Cannot make a token without --token-keys: expected a file with a key, such as "openssl rand -hex 32" gives',
      );
    }
    const [key = ""] = linesOf(await readFlagFile(flags.tokenKeys, "--token-keys"), flags.tokenKeys, "--token-keys");
    await io.stdout.write(`${await signToken(key, jobId, flags.expires)}\n`);
    return EXIT_OK;
  },
});

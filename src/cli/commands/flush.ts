import { JobState } from "../../gen/belay/v1/job_pb.ts";
import { type FlushedSession, flushSpool } from "../../agent/delivery/flush.ts";
import { BelayError } from "../../base/errors.ts";
import { stateName } from "../../contract/names.ts";
import { endState, isEnded } from "../../contract/states.ts";
import type { Command } from "../flags/command.ts";
import { command } from "../flags/command.ts";
import { connectionFlags, flushTimeout, securityOf } from "../flags/connection-flags.ts";
import { EXIT_BELAY, EXIT_OK } from "../process/exit-codes.ts";
import { grouped } from "../flags/flags.ts";
import { logFlags, loggerOf } from "../flags/log-flags.ts";
import { clean } from "../render/clean.ts";
import { ignoredSignals } from "../process/ignored-signals.ts";
import { takeStopSignals } from "../process/stop-signals.ts";

/** `belay flush` */
export const flush: Command = command({
  name: "flush",
  args: [{ name: "<directory>", help: "the agent's --spool-dir, or the directory of one session in it" }],
  about:
    "Delivers to the tracker the records that dead agents left in a spool directory, and removes those that it confirms. " +
    "A job whose agent recorded no result is reported as AGENT_LOST. A job that has ended meanwhile, since it was LOST for " +
    "too long, stays as it is, and its log gets what is missing. Spools of running agents are not touched.",
  flags: {
    ...grouped("Tracker", { flushTimeout }),
    ...connectionFlags,
    ...logFlags,
  },
  examples: [["belay flush /var/spool/belay", "after the machine has crashed"]],
  run: async ({ flags, args, io }) => {
    const [directory] = args;
    if (directory === undefined || directory === "") {
      throw new BelayError("BAD_USAGE", "Missing directory: expected the agent's --spool-dir");
    }
    const signals = takeStopSignals({ isIgnored: ignoredSignals(io) });
    const logger = loggerOf(flags, "warn", io);
    try {
      const { delivered, sessions } = await flushSpool({
        directory,
        tracker: flags.tracker,
        security: securityOf(flags),
        timeout: flags.flushTimeout,
        logger,
        signal: signals.stop,
        ...(io.stderr.isTerminal && { onProgress: (line: string) => void io.stderr.write(`belay: ${line}\n`) }),
      });
      for (const session of sessions) await io.stdout.write(`${describe(session)}\n`);
      if (sessions.length === 0) await io.stdout.write(`Nothing is left in ${directory}\n`);
      return delivered ? EXIT_OK : EXIT_BELAY;
    } finally {
      signals.release();
      await logger.flush();
    }
  },
});

function describe(session: FlushedSession): string {
  const { jobId, attempt, path, delivered, inUse, agentLost, message } = session;
  const which = jobId === "" ? path : `job ${jobId}, attempt ${attempt}`;
  const why = message === "" ? "" : `: ${clean(message)}`;
  if (inUse) return `In use     ${which}${why}`;
  if (!delivered) return `Not yet    ${which}${why}; it stays in ${path}`;
  return `Delivered  ${which}${agentLost ? ", AGENT_LOST" : ""}${jobText(session)}${why}`;
}

/** What became of the job, where the result does not say it. */
function jobText({ jobState, agentLost, result }: FlushedSession): string {
  if (jobState === JobState.PENDING) return "; the job is PENDING again, for its next attempt";
  if (agentLost || result === undefined || jobState === undefined || !isEnded(jobState)) return "";
  const reported = endState(result.outcome);
  return reported === jobState
    ? ""
    : `; its agent reported ${stateName(reported)}, but the job was ${stateName(jobState)} by then`;
}

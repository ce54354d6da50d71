import type { AttemptsOutcome, AgentOutcome } from "../../agent/options.ts";
import { counted } from "../../base/text/count.ts";
import { formatDuration } from "../../contract/durations.ts";
import { outcomeName } from "../../contract/names.ts";
import { formatSize } from "../../contract/sizes.ts";
import { Outcome } from "../../gen/belay/v1/job_pb.ts";
import { EXIT_AGAIN, EXIT_BELAY, exitCodeOfResult } from "../process/exit-codes.ts";
import type { Io } from "../process/io.ts";
import type { StreamBytes } from "../process/pass-through.ts";
import { afterStepProblems } from "../render/job/after-steps.ts";
import { clean } from "../render/clean.ts";
import { deservesMessage, resultDetail } from "../render/job/result.ts";

/** The lines about an attempt after which this agent starts another one. */
export function attemptLines({ attempt, result, next, undelivered }: AgentOutcome): string {
  const { of, delay } = next ?? { of: attempt, delay: 0 };
  const message = deservesMessage(result) ? `: ${clean(result.message)}` : "";
  const when = delay === 0 ? "now" : `in ${formatDuration(delay)}`;
  const how = `${outcomeName(result.outcome).toLowerCase()}${resultDetail(result)}${message}`;
  const lines = [`Attempt ${attempt} of ${of} ${how}; the next one starts ${when}`, ...afterStepProblems(result)];
  if (undelivered !== "") lines.push(`Its log is not complete: ${clean(undelivered)}`);
  return lines.map((line) => `belay: ${line}\n`).join("");
}

/** Reports what happens to undelivered data when the agent leaves at once. The job's watcher ends its processes. */
export async function reportLeft(spoolDir: string | undefined, io: Io): Promise<number> {
  await io.stderr.write(`belay: Left at once; output that had not reached the tracker ${keptOrLost(spoolDir)}\n`);
  return EXIT_BELAY;
}

/** Reports how much of the job's output its readers did not read. */
export async function reportMissing(missing: StreamBytes, jobId: string, io: Io): Promise<void> {
  for (const [bytes, name] of [
    [missing.stdout, "output"],
    [missing.stderr, "error"],
  ] as const) {
    if (bytes === 0) continue;
    const text = `${counted(bytes, "byte")} of standard ${name} were not passed through: its reader does not read`;
    await io.stderr.write(`belay: ${text}. The log at the tracker has them: belay logs ${jobId}\n`);
  }
}

/** The flags of `belay run` on which its report depends. */
export interface ReportFlags {
  readonly spoolDir: string | undefined;
  readonly quiet: boolean;
}

/**
 * Reports how the job or its last attempt here ended, where the exit code does not show it, and what its card says.
 *
 * @returns the exit code
 */
export async function reportOutcome(
  jobId: string,
  outcome: AttemptsOutcome,
  { spoolDir, quiet }: ReportFlags,
  io: Io,
): Promise<number> {
  const { attempt, result, delivered, undelivered, lostBytes, next, notContinued, endedBefore } = outcome;
  const say = (line: string): Promise<void> => io.stderr.write(`belay: ${line}\n`);
  if (endedBefore === true) {
    await say(`Nothing was run: the job had ended with attempt ${attempt}, whose agent could not deliver the result`);
  }
  const failedQuietly = quiet && result.outcome !== Outcome.SUCCEEDED;
  if (io.stderr.isTerminal || deservesMessage(result) || next !== undefined || endedBefore === true || failedQuietly) {
    const message = deservesMessage(result) ? `: ${clean(result.message)}` : "";
    const what = next === undefined ? `Job ${jobId}` : `Attempt ${attempt} of ${next.of} of job ${jobId}`;
    await say(`${what} ${outcomeName(result.outcome)}${resultDetail(result)}${message}`);
    if (result.card !== undefined) {
      const { cardRemarks } = await import("../render/job/failure-card.ts");
      // The output stands above, unless it was not printed here.
      await io.stderr.write(cardRemarks(result.card, quiet || endedBefore === true));
    }
  }
  for (const problem of afterStepProblems(result)) await say(problem);
  if (!delivered) {
    const rest = keptOrLost(spoolDir, lostBytes);
    await say(`Not everything reached the tracker (${clean(undelivered)}); the rest ${rest}`);
    const isKept = spoolDir !== undefined && lostBytes === 0;
    if (next === undefined || !isKept) return EXIT_BELAY;
    await say(`Attempt ${next.attempt} follows: a belay run with this --spool-dir delivers the rest, and runs it`);
    return EXIT_AGAIN;
  }
  if (undelivered !== "") await say(`The log is not complete: ${clean(undelivered)}`);
  if (next === undefined) return exitCodeOfResult(result);
  if (notContinued !== undefined) await say(`Attempt ${next.attempt} did not begin here: ${clean(notContinued)}`);
  await say(`The job waits for attempt ${next.attempt}: belay run --job ${jobId} runs it`);
  return EXIT_AGAIN;
}

function keptOrLost(spoolDir: string | undefined, lostBytes = 0): string {
  if (spoolDir === undefined) return "is lost; --spool-dir would have kept it";
  if (lostBytes === 0) return `is kept; deliver it later with: belay flush ${spoolDir}`;
  const size = formatSize(lostBytes);
  return `is kept, but ${size} could not be spooled and are lost; deliver it later with: belay flush ${spoolDir}`;
}

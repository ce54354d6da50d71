import { durationMs } from "@bufbuild/protobuf/wkt";
import { formatDuration } from "../../contract/durations.ts";
import { EndReason, StallAction } from "../../gen/belay/v1/job_pb.ts";
import type { Evidence, Hint } from "./evidence.ts";

/** The agent ended the job because its time was over. */
export const timeoutHint: Hint = (evidence) => {
  if (evidence.result.reason !== EndReason.TIMED_OUT) return undefined;
  const { spec } = evidence.known;
  const [flag, limit] = evidence.isSetup
    ? (["--setup-timeout", spec.setupTimeout] as const)
    : (["--timeout", spec.timeout] as const);
  const time = limit === undefined ? "" : ` (${formatDuration(durationMs(limit))})`;
  return `${lastWords(evidence)}; raise ${flag}${time} if the work needs longer`;
};

/** The agent ended the job because it gave no sign of life. */
export const stallHint: Hint = (evidence) => {
  const { result, known } = evidence;
  if (result.reason !== EndReason.STALLED || known.spec.stall?.action !== StallAction.END) return undefined;
  return `${lastWords(evidence)}; its processes, and what each waited for, are in the log: belay logs --stream agent ${known.jobId}`;
};

function lastWords(evidence: Evidence): string {
  const line = evidence.lines.at(-1);
  return line === undefined ? "It had printed nothing" : `The last line that it printed is ${evidence.quote(line)}`;
}

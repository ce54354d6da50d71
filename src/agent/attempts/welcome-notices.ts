import { isRetried, maxAttempts } from "../../contract/retry.ts";
import { FailureClass, Feature } from "../../gen/belay/v1/job_pb.ts";
import type { Welcome } from "../../gen/belay/v1/tracker_service_pb.ts";
import type { CompiledOptions } from "../compile-options.ts";

/** What the tracker cannot do of what spec and options ask for, as sentences for the job's log. */
export function welcomeNotices(
  welcome: Welcome,
  { spec = welcome.spec, takeOver, onStop }: Pick<CompiledOptions, "spec" | "takeOver" | "onStop">,
): string[] {
  const { trackerVersion, features, retry, attempt } = welcome;
  if (features.includes(Feature.ATTEMPTS)) {
    if (onStop !== "requeue" || isRetried(retry, attempt, FailureClass.PREEMPTED)) return [];
    return [
      `A stop of the agent will end the job, although "requeue" was asked for: no attempt may follow attempt ${attempt}`,
    ];
  }
  const tracker = trackerVersion === "" ? "This tracker" : `This tracker (belay ${trackerVersion})`;
  const notices: string[] = [];
  if (maxAttempts(spec?.retry) > 1) {
    notices.push(`${tracker} does not know retry policies: the job ends with its first attempt`);
  } else if (onStop === "requeue") {
    notices.push(`${tracker} does not know retry policies: a stop of the agent will end the job`);
  }
  if (spec?.lostTimeout !== undefined) {
    notices.push(
      `${tracker} does not know lost time-outs: a job whose agent is lost stays LOST until another one takes it`,
    );
  }
  if (spec?.pendingTimeout !== undefined) {
    notices.push(`${tracker} does not know pending time-outs: the job waited for its agent without a limit`);
  }
  if (takeOver === true) {
    notices.push(`${tracker} does not know takeovers: if another agent had the job, its lease had to run out first`);
  }
  return notices;
}

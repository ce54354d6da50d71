import type { Job } from "../../../gen/belay/v1/job_pb.ts";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { Output } from "../../process/io.ts";
import { clean } from "../clean.ts";
import { commandText } from "./show.ts";
import { styleOf } from "../style.ts";
import { table } from "../table.ts";
import { ago, isoTime, timeBetween } from "../time.ts";
import { attemptCount, isOver } from "./attempts.ts";

/** Longest name shown on a terminal. */
const NAME_WIDTH = 48;

/** Jobs as a table. In a pipe, times are ISO 8601 and names are not cut. */
export function jobTable(jobs: readonly Job[], output: Pick<Output, "isTerminal" | "color">, now: number): string {
  const style = styleOf(output);
  const header = ["JOB", "STATE", "CREATED", "TOOK", "CODE", "AGENT", "ATTEMPT", "NAME"];
  const rows = jobs.map((job) => {
    const attempt = job.attempts.at(-1);
    const name = nameOf(job);
    return [
      job.jobId,
      style.state(job.state),
      // Without spaces, so that each column is one word.
      output.isTerminal ? ago(job.createTime, now).replaceAll(" ", "").replace("ago", "") : isoTime(job.createTime),
      tookText(job, now).replaceAll(" ", ""),
      job.result === undefined
        ? ""
        : job.result.signal === ""
          ? String(job.result.exitCode ?? "")
          : clean(job.result.signal),
      attempt === undefined
        ? ""
        : agentText(clean(attempt.agent?.hostname ?? ""), attempt.connected, isOver(attempt, job)),
      attemptCount(job),
      output.isTerminal && name.length > NAME_WIDTH ? `${name.slice(0, NAME_WIDTH - 1)}…` : name,
    ];
  });
  return table(output.isTerminal ? header.map((title) => style.bold(title)) : header, rows);
}

/** How long a job took. If it has ended, by the agent's clock only: start and end reach the tracker later. */
function tookText(job: Job, now: number): string {
  const { result } = job;
  return result?.startTime === undefined
    ? timeBetween(job.startTime, job.endTime ?? timestampFromMs(now))
    : timeBetween(result.startTime, result.endTime);
}

function nameOf(job: Job): string {
  const name = job.spec?.name ?? "";
  return name === "" ? commandText(job.spec?.command ?? []) : clean(name);
}

function agentText(host: string, connected: boolean, over: boolean): string {
  return connected || over ? host : `${host}(away)`;
}

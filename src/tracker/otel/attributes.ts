import { basename } from "node:path";
import type { Attempt, CommandRecord, Job, JobResult } from "../../gen/belay/v1/job_pb.ts";
import { CommandKind, CommandState, EndReason, FailureClass, Outcome } from "../../gen/belay/v1/job_pb.ts";
import type { OpenStep } from "./notes.ts";
import type { Attributes } from "./span-record.ts";
import { stateName } from "../../contract/names.ts";

// Names follow OpenTelemetry's semantic conventions where there is one (cicd, error, host, os, process); the others
// begin with "belay.". A job's environment is never exported. Secrets are removed from all attributes where spans are
// recorded and points are made.

/** Most characters of a text. */
const MAX_TEXT = 1024;
/** Most arguments of a command, and most characters of all of them together. */
const MAX_ARGUMENTS = 64;
const MAX_ARGUMENT_CHARACTERS = 4096;

/** Node's names of processors, and those of the conventions. */
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: "amd64", ia32: "x86", arm: "arm32" };

/** Reasons for an end that the job itself did not cause. */
const ERRORS: ReadonlySet<EndReason> = new Set([
  EndReason.SPAWN_FAILED,
  EndReason.AGENT_LOST,
  EndReason.AGENT_FAILED,
  EndReason.AGENT_STOPPED,
  EndReason.DISCONNECTED,
  EndReason.SUPERSEDED,
  EndReason.NO_AGENT,
]);

/** The name of a job. */
export function jobName(job: Job): string {
  const { name = "", command = [] } = job.spec ?? {};
  return name === "" ? basename(command[0] ?? "") : name;
}

/** Identifies the job, on everything that is exported about it. */
export function jobIdentity(job: Job): Attributes {
  return { "belay.job.id": job.jobId, "belay.job.name": jobName(job) };
}

/** The labels of a job. */
export function jobLabels(job: Job): Attributes {
  return Object.fromEntries(
    Object.entries(job.spec?.labels ?? {}).map(([key, value]) => [`belay.job.label.${key}`, value]),
  );
}

/** Attributes of the span of a job that has ended. */
export function jobAttributes(job: Job): Attributes {
  return {
    ...jobIdentity(job),
    ...jobLabels(job),
    "belay.job.state": stateName(job.state),
    "belay.job.attempts": job.attempts.length,
    "cicd.pipeline.name": jobName(job),
    "cicd.pipeline.run.id": job.jobId,
    ...(job.result === undefined
      ? {}
      : { "cicd.pipeline.result": resultWord(job.result), ...endAttributes(job.result) }),
  };
}

/** Attributes of the span of an attempt. */
export function attemptAttributes(job: Job, attempt: Attempt): Attributes {
  const { agent, result } = attempt;
  return {
    ...jobIdentity(job),
    "belay.attempt": attempt.attempt,
    "belay.session.id": attempt.sessionId,
    ...(attempt.principal === "" ? {} : { "belay.principal": attempt.principal }),
    ...(agent === undefined
      ? {}
      : {
          "belay.agent.version": agent.version,
          "belay.agent.pid": agent.pid,
          "host.name": agent.hostname,
          "host.arch": ARCHITECTURES[agent.arch] ?? agent.arch,
          "os.type": agent.os,
        }),
    ...(result === undefined ? {} : endAttributes(result)),
    ...(result?.usage === undefined
      ? {}
      : {
          "belay.usage.cpu_seconds": result.usage.cpuSeconds,
          "belay.usage.peak_memory_bytes": Number(result.usage.peakMemoryBytes),
        }),
  };
}

/** Attributes of the span of a step. */
export function stepAttributes(job: Job, attempt: number, step: OpenStep): Attributes {
  return {
    ...jobIdentity(job),
    "belay.attempt": attempt,
    "belay.step": step.step,
    "belay.step.main": step.main,
    ...(step.after === true ? { "belay.step.after": true } : {}),
    "cicd.pipeline.task.name": step.name,
    "cicd.pipeline.task.run.id": `${job.jobId}/${attempt}/${step.step}`,
    "process.pid": step.pid,
    "process.executable.name": basename(step.argv[0] ?? ""),
    "process.command_args": [...step.argv],
  };
}

/** How a step ended. */
export function stepEndAttributes(exitCode: number | undefined, signal: string): Attributes {
  return {
    "cicd.pipeline.task.run.result": exitCode === 0 ? "success" : "failure",
    ...(exitCode === undefined ? {} : { "process.exit.code": exitCode }),
    ...(signal === "" ? {} : { "belay.signal": signal }),
  };
}

/** Attributes of a command that was given or whose state has changed. */
export function commandAttributes(record: CommandRecord): Attributes {
  return {
    "belay.command.id": record.commandId,
    "belay.command.kind": nameOf(CommandKind, record.kind),
    "belay.command.state": nameOf(CommandState, record.state),
    ...(record.reason === "" ? {} : { "belay.command.reason": short(record.reason) }),
    ...(record.message === "" ? {} : { "belay.command.message": short(record.message) }),
    ...(record.principal === "" ? {} : { "belay.principal": record.principal }),
  };
}

function endAttributes(result: JobResult): Attributes {
  const reason = nameOf(EndReason, result.reason);
  return {
    "belay.job.outcome": nameOf(Outcome, result.outcome),
    "belay.job.reason": reason,
    ...(result.failureClass === FailureClass.UNSPECIFIED
      ? {}
      : { "belay.job.failure_class": nameOf(FailureClass, result.failureClass) }),
    ...(result.message === "" ? {} : { "belay.job.message": short(result.message) }),
    ...(result.exitCode === undefined ? {} : { "process.exit.code": result.exitCode }),
    ...(result.signal === "" ? {} : { "belay.signal": result.signal }),
    ...(result.outcome === Outcome.FAILED ? { "error.type": reason } : {}),
  };
}

/** What went wrong, in words. */
export function errorOf(result: JobResult): string {
  const reason = nameOf(EndReason, result.reason);
  return result.message === "" ? reason : short(`${reason}: ${result.message}`);
}

/** The first arguments, up to a bound. */
export function shortArguments(argv: readonly string[]): string[] {
  let left = MAX_ARGUMENT_CHARACTERS;
  const kept: string[] = [];
  for (const argument of argv.slice(0, MAX_ARGUMENTS)) {
    kept.push(argument.length > left ? `${argument.slice(0, left)}…` : argument);
    left -= argument.length;
    if (left <= 0) break;
  }
  return kept;
}

/** The text, truncated if it is too long. */
export function short(text: string): string {
  return text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}…` : text;
}

/** A value of `cicd.pipeline.result`. */
function resultWord({ outcome, reason }: JobResult): string {
  if (outcome === Outcome.SUCCEEDED) return "success";
  if (outcome === Outcome.CANCELED) return "cancellation";
  if (reason === EndReason.TIMED_OUT) return "timeout";
  return ERRORS.has(reason) ? "error" : "failure";
}

function nameOf(names: Readonly<Record<string, string | number>>, value: number): string {
  return Object.entries(names).find(([, candidate]) => candidate === value)?.[0] ?? String(value);
}

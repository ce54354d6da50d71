import { toBinary } from "@bufbuild/protobuf";
import type { Duration } from "@bufbuild/protobuf/wkt";
import { signalNumber } from "../../base/process/signals.ts";
import { MAX_TRACE_STATE_BYTES, isTraceState, parseTraceParent } from "../../base/trace-context.ts";
import { attemptRuleBreak, durationBreak } from "../../contract/attempt-rules.ts";
import { type JobSpec, JobSpecSchema } from "../../gen/belay/v1/job_pb.ts";

const MAX_NAME_BYTES = 256;
const MAX_LABELS = 64;
const MAX_LABEL_VALUE_BYTES = 256;
const LABEL_KEY = /^[A-Za-z0-9._/-]{1,63}$/;
/**
 * Checks a job spec against the rules in its comments.
 *
 * @param maxBytes most bytes that it may have, encoded
 * @returns field, rule and what was found, for an error message; undefined if nothing is wrong
 */
export function specProblem(spec: JobSpec, maxBytes: number): string | undefined {
  return (
    sizeProblem(spec, maxBytes) ??
    nameProblem("spec.name", spec.name) ??
    labelsProblem(spec.labels) ??
    setupProblem(spec) ??
    commandProblem(spec) ??
    environmentProblem(spec) ??
    nul("spec.working_directory", spec.workingDirectory) ??
    durationProblem("spec.timeout", spec.timeout) ??
    durationProblem("spec.setup_timeout", spec.setupTimeout) ??
    durationProblem("spec.grace_period", spec.gracePeriod) ??
    durationProblem("spec.metrics_interval", spec.metricsInterval) ??
    traceProblem(spec) ??
    attemptProblem(spec) ??
    (spec.stopSignal === "" ? undefined : signalProblem("spec.stop_signal", spec.stopSignal))
  );
}

function attemptProblem(spec: JobSpec): string | undefined {
  const broken = attemptRuleBreak(spec);
  return broken === undefined ? undefined : `spec.${broken.field} ${broken.problem}`;
}

function sizeProblem(spec: JobSpec, maxBytes: number): string | undefined {
  const bytes = toBinary(JobSpecSchema, spec).byteLength;
  return bytes > maxBytes ? `spec has ${bytes} bytes: expected at most ${maxBytes}` : undefined;
}

/** Checks the name of a signal. */
export function signalProblem(field: string, name: string): string | undefined {
  if (signalNumber(name) !== undefined) return undefined;
  return `${field} "${name}": expected the name of a signal such as "SIGTERM"`;
}

/** Checks a duration. */
export function durationProblem(field: string, duration: Duration | undefined): string | undefined {
  const broken = durationBreak(field, duration);
  return broken === undefined ? undefined : `${field} ${broken.problem}`;
}

function traceProblem({ traceParent, traceState }: JobSpec): string | undefined {
  if (traceParent !== "" && parseTraceParent(traceParent) === undefined) {
    return `spec.trace_parent "${shorten(traceParent)}": expected a W3C traceparent such as "00-<32 hex>-<16 hex>-01"`;
  }
  if (isTraceState(traceState)) return undefined;
  return `spec.trace_state "${shorten(traceState)}": expected a W3C tracestate of at most ${MAX_TRACE_STATE_BYTES} bytes`;
}

function nameProblem(field: string, name: string): string | undefined {
  const bytes = Buffer.byteLength(name);
  if (bytes > MAX_NAME_BYTES) return `${field} has ${bytes} bytes: expected at most ${MAX_NAME_BYTES}`;
  return nul(field, name);
}

function labelsProblem(labels: JobSpec["labels"]): string | undefined {
  const entries = Object.entries(labels);
  if (entries.length > MAX_LABELS) return `spec.labels has ${entries.length} entries: expected at most ${MAX_LABELS}`;
  for (const [key, value] of entries) {
    if (!LABEL_KEY.test(key)) {
      return `spec.labels has the key "${shorten(key)}": expected 1 to 63 letters, digits, ".", "_", "/" or "-"`;
    }
    const bytes = Buffer.byteLength(value);
    if (bytes > MAX_LABEL_VALUE_BYTES) {
      return `spec.labels["${key}"] has ${bytes} bytes: expected at most ${MAX_LABEL_VALUE_BYTES}`;
    }
  }
  return undefined;
}

function setupProblem(spec: JobSpec): string | undefined {
  for (const [i, step] of spec.setup.entries()) {
    if (step.run.trim() === "") return `spec.setup[${i}].run is empty: expected a shell command`;
    const problem = nul(`spec.setup[${i}].run`, step.run) ?? nameProblem(`spec.setup[${i}].name`, step.name);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

function commandProblem(spec: JobSpec): string | undefined {
  if (spec.command.length === 0 || spec.command[0] === "") return "spec.command is empty: expected a program";
  for (const [i, argument] of spec.command.entries()) {
    const problem = nul(`spec.command[${i}]`, argument);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

function environmentProblem(spec: JobSpec): string | undefined {
  for (const [name, value] of Object.entries(spec.environment)) {
    if (name === "" || name.includes("=")) {
      return `spec.environment has the name "${shorten(name)}": expected one without "=", not empty`;
    }
    const problem = nul("spec.environment", name) ?? nul(`spec.environment["${shorten(name)}"]`, value);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

/** The kernel ends strings at a NUL. */
function nul(field: string, text: string): string | undefined {
  return text.includes("\0") ? `${field} contains a NUL byte: expected none` : undefined;
}

function shorten(text: string): string {
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}

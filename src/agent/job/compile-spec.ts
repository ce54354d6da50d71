import { resolve } from "node:path";
import { workingDirectory } from "../../base/files/directories.ts";
import type { Duration } from "@bufbuild/protobuf/wkt";
import { durationMs } from "@bufbuild/protobuf/wkt";
import { elide } from "../../base/text/elide.ts";
import { BelayError } from "../../base/errors.ts";
import type { Signal } from "../../base/process/signals.ts";
import { attemptRuleBreak, DEFAULT_AFTER_TIMEOUT_MS, DEFAULT_WARN_PERIOD_MS } from "../../contract/attempt-rules.ts";
import { MOST_STEP_NAME, scriptStepName } from "../../contract/script-steps.ts";
import type { AfterCondition, JobSpec } from "../../gen/belay/v1/job_pb.ts";
import { parseSignal } from "./tree/signals.ts";

/** Time between stop signal and SIGKILL if the spec does not say. */
export const DEFAULT_GRACE_MS = 10_000;

/** Time between two samples of what a job uses, if the spec does not say. */
export const DEFAULT_METRICS_INTERVAL_MS: number = 5000;

/** One program that the job runs. */
export interface Step {
  /** From 1. */
  readonly number: number;
  readonly name: string;
  readonly argv: readonly string[];
  /** Whether it is the main command. */
  readonly main: boolean;
  /** Set only for a step after the end. */
  readonly after?: AfterStepTerms;
}

/** When a step after the end runs, and for how long. */
export interface AfterStepTerms {
  readonly when: AfterCondition;
  /** Milliseconds. 0: no limit. */
  readonly timeout: number;
}

/** A step after the end. */
export type AfterStep = Step & { readonly after: AfterStepTerms };

/** A spec as the agent uses it: checked, with defaults filled in, times in milliseconds. */
export interface CompiledSpec {
  /** Setup steps in order, then the main command. Never empty. */
  readonly steps: readonly Step[];
  /** Steps after the end, in order. */
  readonly after: readonly AfterStep[];
  /** Undefined: where the agent is, which may have no path any more. */
  readonly cwd: string | undefined;
  readonly environment: Readonly<Record<string, string>>;
  /** 0: no limit. */
  readonly timeout: number;
  /** 0: no limit. */
  readonly setupTimeout: number;
  readonly grace: number;
  readonly stopSignal: Signal;
  /** What announces an end: the signal, and the time from it to the stop signal. Undefined: nothing does. */
  readonly warning: { readonly signal: Signal; readonly period: number } | undefined;
  readonly keepDescendants: boolean;
  /** 0: no limit. */
  readonly memoryLimitBytes: number;
  /** Time between two samples; 0: only at the start and the end of each step. */
  readonly metricsInterval: number;
}

/**
 * Checks a spec and compiles it.
 *
 * @throws BelayError `BAD_SPEC`, naming the field
 */
export function compileSpec(spec: JobSpec): CompiledSpec {
  if (spec.command.length === 0 || spec.command[0] === "") {
    throw bad("command", "is empty: expected a program and its arguments");
  }
  spec.command.forEach((argument, index) => noNull(`command[${index}]`, argument));
  const setup = spec.setup.map((step, index): Step => {
    if (step.run.trim() === "") throw bad(`setup[${index}].run`, "is empty: expected a shell command");
    noNull(`setup[${index}].run`, step.run);
    return {
      number: index + 1,
      name: scriptStepName(step),
      argv: ["/bin/sh", "-c", step.run],
      main: false,
    };
  });
  for (const [name, value] of Object.entries(spec.environment)) {
    if (name === "" || name.includes("=")) throw bad("environment", `has the name "${name}": expected one without "="`);
    noNull("environment", name);
    noNull(`environment.${name}`, value);
  }
  noNull("workingDirectory", spec.workingDirectory);
  const broken = attemptRuleBreak(spec);
  if (broken !== undefined) throw bad(broken.field, broken.problem);
  const main: Step = {
    number: setup.length + 1,
    name: spec.name === "" ? elide(spec.command[0] ?? "", MOST_STEP_NAME) : spec.name,
    argv: spec.command,
    main: true,
  };
  return Object.freeze({
    steps: [...setup, main],
    after: spec.after.map((step, index) => ({
      number: main.number + 1 + index,
      name: scriptStepName(step),
      argv: ["/bin/sh", "-c", step.run],
      main: false,
      after: {
        when: step.when,
        timeout: milliseconds(`after[${index}].timeout`, step.timeout, DEFAULT_AFTER_TIMEOUT_MS),
      },
    })),
    cwd: directoryOf(spec.workingDirectory),
    environment: spec.environment,
    timeout: milliseconds("timeout", spec.timeout, 0),
    setupTimeout: milliseconds("setupTimeout", spec.setupTimeout, 0),
    grace: milliseconds("gracePeriod", spec.gracePeriod, DEFAULT_GRACE_MS),
    stopSignal: spec.stopSignal === "" ? "SIGTERM" : parseSignal(spec.stopSignal, "stopSignal", "BAD_SPEC"),
    warning: warningOf(spec),
    keepDescendants: spec.keepDescendants,
    memoryLimitBytes: Number(spec.memoryLimitBytes),
    metricsInterval: milliseconds("metricsInterval", spec.metricsInterval, DEFAULT_METRICS_INTERVAL_MS),
  });
}

function warningOf({ warnSignal, warnPeriod }: JobSpec): CompiledSpec["warning"] {
  const period = milliseconds("warnPeriod", warnPeriod, DEFAULT_WARN_PERIOD_MS);
  if (warnSignal === "" || period === 0) return undefined;
  return { signal: parseSignal(warnSignal, "warnSignal", "BAD_SPEC"), period };
}

function milliseconds(field: string, value: Duration | undefined, absent: number): number {
  if (value === undefined) return absent;
  const ms = durationMs(value);
  if (ms < 0) throw bad(field, `is ${ms} ms: expected 0 or more`);
  return ms;
}

function noNull(field: string, text: string): void {
  if (text.includes("\0")) throw bad(field, "holds a NUL character, which no program can be given");
}

function bad(field: string, problem: string): BelayError {
  return new BelayError("BAD_SPEC", `Cannot use the job's spec: "${field}" ${problem}`);
}

/** Absolute, unless it is relative to a directory that was deleted: then the start of the first step reports it. */
function directoryOf(given: string): string | undefined {
  if (given === "") return undefined;
  if (given.startsWith("/")) return resolve(given);
  const own = workingDirectory();
  return own === undefined ? given : resolve(own, given);
}

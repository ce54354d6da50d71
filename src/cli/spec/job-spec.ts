import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { BelayError } from "../../base/errors.ts";
import { findSignal } from "../../base/process/signals.ts";
import type { JobSpec } from "../../gen/belay/v1/job_pb.ts";
import { AfterStepSchema, JobSpecSchema, SetupStepSchema } from "../../gen/belay/v1/job_pb.ts";
import type { Invocation } from "../flags/command.ts";
import { readFlagText } from "../flags/flag-file.ts";
import { flagName } from "../flags/flags.ts";
import type { JobFlags } from "./job-flags.ts";
import { jobFlags } from "./job-flags.ts";
import { applyAttemptFlags } from "./attempt-flags.ts";
import { applyStallFlags } from "./stall-flags.ts";
import { attemptRuleBreak } from "../../contract/attempt-rules.ts";
import { takeTraceContext } from "./trace-context.ts";

/**
 * The spec that flags, spec file and command line describe together. Flags override the file; labels and environment
 * are joined, and setup steps and steps after the end of flags replace those of the file.
 *
 * @returns undefined if none of them describes a job: the tracker has its spec
 * @throws BelayError `BAD_USAGE` or `BAD_SPEC`
 */
export async function specOf(invocation: Invocation<JobFlags>): Promise<JobSpec | undefined> {
  const { flags, args, given, io } = invocation;
  const asked = Object.keys(jobFlags).filter((key) => given.has(key));
  if (flags.spec === undefined && args.length === 0) {
    if (asked.length === 0) return undefined;
    const names = asked.map(flagName).join(", ");
    throw new BelayError("BAD_USAGE", `Cannot use ${names} without a job: give a command after --, or --spec`);
  }
  const spec = flags.spec === undefined ? create(JobSpecSchema) : await fromFile(flags.spec, io.stdin);
  if (args.length > 0) spec.command = [...args];
  if (spec.command.length === 0) {
    throw new BelayError("BAD_SPEC", `The spec ${flags.spec} has no command: add "command", or give one after --`);
  }
  // `USR1` is the same as `SIGUSR1` in a file, too; a wrong name is refused by the rules of the spec.
  spec.stopSignal = findSignal(spec.stopSignal) ?? spec.stopSignal;
  spec.warnSignal = findSignal(spec.warnSignal) ?? spec.warnSignal;
  if (spec.command[0] === "") throw new BelayError("BAD_USAGE", "The command's first word is empty");
  if (flags.name !== undefined) spec.name = flags.name;
  if (flags.setup.length > 0) spec.setup = flags.setup.map((run) => create(SetupStepSchema, { run }));
  if (flags.after.length > 0) spec.after = flags.after.map((run) => create(AfterStepSchema, { run }));
  if (flags.cwd !== undefined) spec.workingDirectory = flags.cwd;
  Object.assign(spec.labels, Object.fromEntries(flags.label));
  Object.assign(spec.environment, await environmentOf(invocation));
  if (flags.timeout !== undefined) spec.timeout = durationFromMs(flags.timeout);
  if (flags.setupTimeout !== undefined) spec.setupTimeout = durationFromMs(flags.setupTimeout);
  if (flags.grace !== undefined) spec.gracePeriod = durationFromMs(flags.grace);
  if (flags.stopSignal !== undefined) spec.stopSignal = signalName(flags.stopSignal, "--stop-signal");
  if (flags.warnSignal !== undefined) spec.warnSignal = signalName(flags.warnSignal, "--warn-signal");
  if (flags.warnPeriod !== undefined) spec.warnPeriod = durationFromMs(flags.warnPeriod);
  if (flags.metricsInterval !== undefined) spec.metricsInterval = durationFromMs(flags.metricsInterval);
  if (given.has("keepDescendants")) spec.keepDescendants = flags.keepDescendants;
  if (flags.logLimit !== undefined) spec.logLimitBytes = BigInt(flags.logLimit);
  if (flags.memoryLimit !== undefined) spec.memoryLimitBytes = BigInt(flags.memoryLimit);
  applyAttemptFlags(spec, flags, given);
  applyStallFlags(spec, flags);
  const broken = attemptRuleBreak(spec);
  if (broken !== undefined) {
    throw new BelayError("BAD_SPEC", `Cannot use the job's spec: "${broken.field}" ${broken.problem}`);
  }
  const both = flags.redactEnv.find((name) => flags.noRedactEnv.includes(name));
  if (both !== undefined) {
    throw new BelayError("BAD_USAGE", `Cannot use both --redact-env ${both} and --no-redact-env ${both}`);
  }
  spec.redactEnvironment.push(...flags.redactEnv);
  spec.noRedactEnvironment.push(...flags.noRedactEnv);
  await takeTraceContext(spec, io);
  return spec;
}

/** The name of a signal: `SIGTERM` for `term`, `TERM` or `SIGTERM`. @throws BelayError `BAD_USAGE` if it is unknown */
export function signalName(given: string, what: string): string {
  const signal = findSignal(given);
  if (signal !== undefined) return signal;
  throw new BelayError("BAD_USAGE", `Cannot use ${what} "${given}": expected the name of a signal such as SIGUSR1`);
}

async function fromFile(path: string, stdin: Invocation<JobFlags>["io"]["stdin"]): Promise<JobSpec> {
  // The YAML reader is as large as the rest of `belay run`: it is loaded only where it is needed.
  const { readSpecFile } = await import("./spec-file.ts");
  return readSpecFile(path, stdin);
}

async function environmentOf(invocation: Invocation<JobFlags>): Promise<Record<string, string>> {
  const environment: Record<string, string> = {};
  for (const path of invocation.flags.envFile) {
    const { parseEnvFile } = await import("./env-file.ts");
    Object.assign(environment, parseEnvFile(await readFlagText(path, "--env-file"), path));
  }
  for (const given of invocation.flags.env) {
    const cut = given.indexOf("=");
    const name = cut < 0 ? given : given.slice(0, cut);
    const value = cut < 0 ? invocation.io.env[name] : given.slice(cut + 1);
    if (value === undefined) throw new BelayError("BAD_USAGE", `Cannot pass on --env ${name}: it is not set here`);
    if (!value.isWellFormed()) {
      const problem = "its value is not UTF-8, so a spec cannot hold it; belay run passes it on without --env";
      throw new BelayError("BAD_USAGE", `Cannot pass on --env ${name}: ${problem}`);
    }
    environment[name] = value;
  }
  return environment;
}

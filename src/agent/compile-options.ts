import { create } from "@bufbuild/protobuf";
import { BelayError } from "../base/errors.ts";
import { exactEnvironment } from "../base/text/exact-texts.ts";
import { idProblem } from "../base/ids.ts";
import type { Inherited } from "../base/process/inherited.ts";
import { messageProblem } from "../base/message-problem.ts";
import {
  abortSignal,
  bytes,
  callback,
  checkOptions,
  group,
  isObject,
  milliseconds,
  oneOf,
  pem,
  required,
  type Rule,
  type Rules,
  someLogger,
  text,
  texts,
  whole,
  yesOrNo,
} from "../base/options.ts";
import { isRetried } from "../contract/retry.ts";
import { FailureClass, type JobSpec, JobSpecSchema } from "../gen/belay/v1/job_pb.ts";
import type { AgentOptions, TransportSecurity } from "./options.ts";

/** An option with a tracker's address. */
export const trackerRule: Rule = required(text('an address such as "http://127.0.0.1:7070"'));

/** The option `security`. */
export const securityRule: Rule = group<TransportSecurity>({
  tokenFile: text("the path of a file"),
  ca: pem,
  cert: pem,
  key: pem,
  caFile: text("the path of a file"),
  certFile: text("the path of a file"),
  keyFile: text("the path of a file"),
  insecure: yesOrNo,
});

const onDisconnect: Rule = {
  expected: '{ kind: "continue" } or { kind: "cancel-after", ms }',
  accepts: (value) => {
    if (!isObject(value) || !("kind" in value)) return false;
    if (value.kind === "continue") return true;
    return value.kind === "cancel-after" && milliseconds().accepts("ms" in value ? value.ms : undefined);
  },
};

/** What the options of an agent accept. */
export const AGENT_RULES: Rules<AgentOptions> = {
  tracker: trackerRule,
  jobId: required({ expected: 'a text such as "train-17"', accepts: (value) => typeof value === "string" }),
  spec: {
    expected: 'a JobSpec, such as { command: ["ls"] }',
    accepts: (value) => isObject(value) && !Array.isArray(value),
  },
  labels: texts("an object whose values are texts"),
  security: securityRule,
  connectTimeout: milliseconds(),
  flushTimeout: milliseconds(),
  stopFlushTimeout: milliseconds(),
  stopBudget: milliseconds(),
  onDisconnect,
  spoolDirectory: text("the path of a directory"),
  spoolLimit: bytes,
  onSpoolFull: oneOf("block", "drop"),
  admin: text('an address such as "127.0.0.1:9090"'),
  containment: oneOf("auto", "cgroup", "process-group"),
  onOutput: callback,
  outputBehind: callback,
  onProgress: callback,
  logger: someLogger,
  environment: texts("an object whose values are texts or undefined", true),
  inherited: group<Inherited>({
    openFiles: whole("a number of open files, 0 or more"),
    ignoredSignals: required(whole("signals as bits, 0 or more")),
    blockedSignals: required(whole("signals as bits, 0 or more")),
  }),
  onStop: oneOf("end", "requeue"),
  takeOver: yesOrNo,
  stop: abortSignal,
  stopNow: abortSignal,
  signals: callback,
};

/** Options of an agent, checked, with a spec that is a message and the environment that counts. */
export interface CompiledOptions extends AgentOptions {
  /** Exactly: what is not UTF-8 is as `textOfBytes` makes it. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly spec?: JobSpec;
}

/**
 * Checks the options of an agent.
 *
 * @param of the function that has them, for errors
 * @throws BelayError `BAD_USAGE` that names the option, `BAD_SPEC` that names the field
 */
export function compileOptions(given: AgentOptions, of = "runAgent"): CompiledOptions {
  const options = checkOptions(of, given, AGENT_RULES);
  const { spec, ...rest } = options;
  const problem = idProblem(options.jobId);
  if (problem !== undefined) throw new BelayError("BAD_USAGE", `Cannot use job id ${problem}`);
  const environment = exactEnvironment(options.environment ?? process.env);
  if (spec === undefined) return { ...rest, environment };
  const wrong = messageProblem(JobSpecSchema, spec);
  if (wrong !== undefined) throw new BelayError("BAD_SPEC", `Cannot use the job's spec: ${wrong}`);
  const compiled = { ...rest, environment, spec: create(JobSpecSchema, spec) };
  if (rest.onStop === "requeue" && !isRetried(compiled.spec.retry, 1, FailureClass.PREEMPTED)) {
    throw new BelayError(
      "BAD_USAGE",
      `Cannot use option "onStop" of ${of}: "requeue" needs a retry policy in the spec, of 2 attempts or more, on PREEMPTED`,
    );
  }
  return compiled;
}

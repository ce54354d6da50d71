/** Name of the variable that marks a job's processes, so that they are found in /proc. */
const COOKIE_NAME = "BELAY_COOKIE";

/** Where mkfifo and similar programs are. */
export const SYSTEM_PATH: string = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** What goes into the environment of one step. */
export interface StepEnvironment {
  readonly base: Readonly<Record<string, string | undefined>>;
  /** Where the job stands in a trace: `TRACEPARENT` and `TRACESTATE`, or nothing. */
  readonly trace?: Readonly<Record<string, string>>;
  /** The tracker's address, for a `belay` in the job; the spec's own `BELAY_TRACKER` wins. */
  readonly tracker?: string;
  readonly spec: Readonly<Record<string, string>>;
  /** What the agent adds. */
  readonly own: Readonly<Record<string, string>>;
  /** Undefined: it was deleted. */
  readonly cwd: string | undefined;
  readonly jobId: string;
  readonly attempt: number;
  readonly step: number;
  readonly cookie: string;
}

/**
 * The environment of a step: what the agent has, without anything of Belay's own (tokens, keys, flags), then the tracker's
 * address and the spec's, then what the job may know about itself.
 *
 * The cookie is added to one that exists already: when a job runs an agent itself, processes of the inner job are still
 * found as the outer job's.
 */
export function stepEnvironment(options: StepEnvironment): Record<string, string> {
  const result: Record<string, string> = {};
  for (const [name, value] of Object.entries(options.base)) {
    if (value !== undefined && !name.startsWith("BELAY_") && name !== "OLDPWD") result[name] = value;
  }
  // Most runtimes buffer output that does not go to a terminal; Python has a variable against that.
  result["PYTHONUNBUFFERED"] ??= "1";
  if (options.cwd === undefined) delete result["PWD"];
  else result["PWD"] = options.cwd;
  putTrace(result, options);
  if (options.tracker !== undefined) result["BELAY_TRACKER"] = options.tracker;
  Object.assign(result, options.spec, options.own);
  result["BELAY_JOB_ID"] = options.jobId;
  result["BELAY_ATTEMPT"] = String(options.attempt);
  result["BELAY_STEP"] = String(options.step);
  const outer = options.base[COOKIE_NAME];
  result[COOKIE_NAME] = outer === undefined ? options.cookie : `${outer}:${options.cookie}`;
  return result;
}

/** The two variables belong together: a source that sets the first one decides on the second, too. */
function putTrace(result: Record<string, string>, { trace = {}, spec }: StepEnvironment): void {
  const chosen = Object.hasOwn(spec, "TRACEPARENT") ? {} : trace;
  if (chosen === trace && trace["TRACEPARENT"] === undefined) return;
  delete result["TRACEPARENT"];
  delete result["TRACESTATE"];
  Object.assign(result, chosen);
}

/** The environment of our own small helpers: no more than they need, and the outer job's cookie if there is one. */
export function helperEnvironment(base: Readonly<Record<string, string | undefined>>): Record<string, string> {
  const outer = base[COOKIE_NAME];
  const path = base["PATH"] ?? "";
  return {
    // PATH may be meant for the job, and name only its programs.
    PATH: path === "" ? SYSTEM_PATH : `${path}:${SYSTEM_PATH}`,
    ...(outer === undefined ? {} : { [COOKIE_NAME]: outer }),
  };
}

import type { Inherited } from "../../base/process/inherited.ts";

/** Variables by which `launch.sh` reports what Node would change. */
const NOTE = "BELAY_LAUNCH_";
/** Before the name of a variable that Node would have obeyed. */
const FOR_JOB = `${NOTE}FOR_JOB_`;
/** They name a descriptor, which the job does not inherit: a Node in the job would fail on it. */
const NOT_FOR_JOB: ReadonlySet<string> = new Set(["NODE_CHANNEL_FD", "NODE_CHANNEL_SERIALIZATION_MODE"]);
/**
 * Variables that Belay's libraries would obey: gRPC's logs and certificates, YAML's tokens on standard output, colours
 * whatever the output is, how pidusage and Undici work. And the one with which Node's TLS would check no certificate.
 * (What OpenTelemetry reads is documented: it applies to a tracker.)
 */
const OF_LIBRARIES =
  /^(GRPC_(?!PROXY$)|PIDUSAGE_)|^(NODE_TLS_REJECT_UNAUTHORIZED|LOG_TOKENS|LOG_STREAM|FORCE_COLOR|CLICOLOR_FORCE|BUF_BIGINT_DISABLE|UNDICI_NO_WASM_SIMD)$/;
/** Positions in /proc/PID/stat, behind the name, of the signals blocked and ignored (proc(5)). */
const BLOCKED = 29;
const IGNORED = 30;

/** How the command was started. */
export interface Launch {
  /** The whole environment, for the flags of Belay and for the job. */
  readonly environment: Readonly<Record<string, string>>;
  /** Undefined: as a script of Node, which leaves no trace of it. */
  readonly inherited: Inherited | undefined;
}

/**
 * Reads what `launch.sh` has noted, and takes out of this process's environment what is meant for the job but would be
 * obeyed by the libraries that are loaded next.
 */
export function takeLaunch(env: NodeJS.ProcessEnv): Launch {
  const openFiles = env[`${NOTE}OPEN_FILES`];
  const inherited = openFiles === undefined ? undefined : { openFiles: limit(openFiles), ...signals(env) };
  const environment: Record<string, string> = odd(env[`${NOTE}ODD`] ?? "");
  for (const [name, value] of Object.entries(env)) {
    if (value === undefined) continue;
    if (name.startsWith(NOTE)) delete env[name];
    if (!name.startsWith(NOTE)) environment[name] = value;
    else if (name.startsWith(FOR_JOB)) putForJob(environment, name.slice(FOR_JOB.length), value);
    if (OF_LIBRARIES.test(name)) delete env[name];
  }
  return { environment, inherited };
}

function putForJob(environment: Record<string, string>, name: string, value: string): void {
  if (!NOT_FOR_JOB.has(name)) environment[name] = value;
}

function limit(text: string): number | undefined {
  return /^\d+$/.test(text) ? Number(text) : undefined;
}

function signals(env: NodeJS.ProcessEnv): Pick<Inherited, "ignoredSignals" | "blockedSignals"> {
  const stat = env[`${NOTE}STAT`] ?? "";
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return { blockedSignals: Number(fields[BLOCKED] ?? 0), ignoredSignals: Number(fields[IGNORED] ?? 0) };
}

/** Variables with names that no shell can set, as they stand in /proc/PID/environ. */
function odd(encoded: string): Record<string, string> {
  const result: Record<string, string> = {};
  if (encoded === "") return result;
  for (const entry of Buffer.from(encoded, "base64").toString("utf8").split("\0")) {
    const cut = entry.indexOf("=");
    if (cut > 0) result[entry.slice(0, cut)] = entry.slice(cut + 1);
  }
  return result;
}

/**
 * Whether Node has taken `--env-file` out of the command line for itself: it read the file, which may have been a pipe, and
 * put its variables into the environment of this process.
 *
 * @param argv arguments behind the script
 */
export function nodeTookEnvFile(launch: Launch, argv: readonly string[]): boolean {
  if (launch.inherited !== undefined) return false;
  const end = argv.indexOf("--");
  return argv.slice(0, end < 0 ? argv.length : end).some((arg) => /^--env-file(-if-exists)?(=|$)/.test(arg));
}

import type { Inherited } from "../../base/process/inherited.ts";

/** Prefix of the variables in which `launch.sh` reports settings that Node would change. */
const NOTE = "BELAY_LAUNCH_";
/** Prefix of variables that Node would have obeyed: `launch.sh` has renamed them. */
const FOR_JOB = `${NOTE}FOR_JOB_`;
/** Variables that name a descriptor. The job does not inherit it, so that a Node in the job would fail. */
const NOT_FOR_JOB: ReadonlySet<string> = new Set(["NODE_CHANNEL_FD", "NODE_CHANNEL_SERIALIZATION_MODE"]);
/**
 * Variables that Belay's libraries would obey: gRPC's logs and certificates, YAML's tokens on standard output, colours
 * even if the output is not a terminal, and the workings of pidusage and Undici. Also the one that makes Node's TLS
 * accept any certificate. OpenTelemetry's variables are not among them: a tracker obeys them, as documented.
 */
const OF_LIBRARIES =
  /^(GRPC_(?!PROXY$)|PIDUSAGE_)|^(NODE_TLS_REJECT_UNAUTHORIZED|LOG_TOKENS|LOG_STREAM|FORCE_COLOR|CLICOLOR_FORCE|BUF_BIGINT_DISABLE|UNDICI_NO_WASM_SIMD)$/;
/** Positions of the blocked and the ignored signals in /proc/PID/stat, counted after the process's name (proc(5)). */
const BLOCKED = 29;
const IGNORED = 30;

/** How the command was started. */
export interface Launch {
  /** The whole environment, for the flags of Belay and for the job. */
  readonly environment: Readonly<Record<string, string>>;
  /** Settings that Node would change. Undefined: not known, because the command was started as a script of Node. */
  readonly inherited: Inherited | undefined;
}

/**
 * Reads the notes of `launch.sh`, and removes variables from this process's environment that are meant for the job but
 * that the libraries loaded next would obey.
 */
export function takeLaunch(env: NodeJS.ProcessEnv): Launch {
  const openFiles = env[`${NOTE}OPEN_FILES`];
  const inherited = openFiles === undefined ? undefined : { openFiles: limit(openFiles), ...signals(env) };
  const environment: Record<string, string> = decodeVariables(env[`${NOTE}ODD`] ?? "");
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

/** Decodes variables whose names no shell can set. They have the form of /proc/PID/environ, in base64. */
function decodeVariables(encoded: string): Record<string, string> {
  const result: Record<string, string> = {};
  if (encoded === "") return result;
  for (const entry of Buffer.from(encoded, "base64").toString("utf8").split("\0")) {
    const cut = entry.indexOf("=");
    if (cut > 0) result[entry.slice(0, cut)] = entry.slice(cut + 1);
  }
  return result;
}

/**
 * Whether Node has obeyed an `--env-file` that was meant for Belay: Node has read the file, which may have been a pipe,
 * and has put its variables into the environment of this process.
 *
 * @param argv arguments after the script
 */
export function nodeTookEnvFile(launch: Launch, argv: readonly string[]): boolean {
  if (launch.inherited !== undefined) return false;
  const end = argv.indexOf("--");
  return argv.slice(0, end < 0 ? argv.length : end).some((arg) => /^--env-file(-if-exists)?(=|$)/.test(arg));
}

import { describe, expect, it } from "vitest";
import { COMMAND_GROUPS, COMMANDS } from "../../src/cli/commands.ts";
import { flagName, variableName } from "../../src/cli/flags/flags.ts";
import { runInProcess } from "../helpers/in-process.ts";

describe.each(Object.keys(COMMANDS))("belay %s", (name) => {
  it("carries its own name, says what it does, and shows how to call it", async () => {
    const command = await COMMANDS[name]?.load();
    expect(command?.name).toBe(name);
    expect(command?.about).toMatch(/\.$/);
    expect(command?.examples.length).toBeGreaterThan(0);
    for (const [line] of command?.examples ?? []) expect(line).toContain("belay ");
  });

  it("has flags that are written the same everywhere", async () => {
    const command = await COMMANDS[name]?.load();
    for (const [key, flag] of Object.entries(command?.flags ?? {})) {
      expect(flagName(key)).toMatch(/^--[a-z]+(-[a-z]+)*$/);
      expect(variableName(key, flag) ?? "BELAY_NONE").toMatch(/^BELAY_[A-Z]+(_[A-Z]+)*$/);
      expect(flag.help).not.toMatch(/^[A-Z][a-z]|\.$/);
      // A default has a field of its own.
      expect(flag.help).not.toMatch(/\bdefault\b/);
    }
  });

  it("shows each of its flags under a heading, and lists no heading twice", async () => {
    const { stdout } = await runInProcess([name, "--help"]);
    expect(stdout).toMatch(new RegExp(`^Usage: belay ${name} \\[flags\\]`));
    expect(stdout).not.toMatch(/^Options:|\[options\]/m);
    const headings = stdout.match(/^[A-Z][\w ]+:$/gm) ?? [];
    expect(headings).toEqual([...new Set(headings)]);
    const command = await COMMANDS[name]?.load();
    for (const [key, { group, hidden }] of Object.entries(command?.flags ?? {})) {
      if (hidden === true) continue;
      expect(headings).toContain(`${group}:`);
      expect(stdout).toMatch(new RegExp(`^ +(-\\w, )?${flagName(key)} `, "m"));
    }
    expect(Math.max(...stdout.split("\n").map((line) => line.length))).toBeLessThanOrEqual(120);
  });
});

it("the overview has every command once, under its heading", async () => {
  const { stdout } = await runInProcess(["--help"]);
  const shown = COMMAND_GROUPS.map((group) => {
    const section = new RegExp(`^${group}:\\n((?: {2}.*\\n)+)`, "m").exec(stdout)?.[1] ?? "";
    return [group, ...[...section.matchAll(/^ {2}(\S+)/gm)].map(([, name]) => name ?? "")];
  });
  expect(shown.map(([group]) => group)).toEqual(["Run", "Watch", "Control", "Set up"]);
  expect(shown.flatMap(([, ...names]) => names)).toEqual(Object.keys(COMMANDS));
});

function words(text: string): string[] {
  return text.trim().split(/\s+/);
}

/** Configuration, by command. Every other flag makes sense for one call only: its variable would change all calls. */
const CLIENT = words("CA CERT CONNECT_TIMEOUT INSECURE KEY TOKEN_FILE TRACKER");
const JOB =
  words(`AFTER CWD ENV ENV_FILE GRACE JOB KEEP_DESCENDANTS LABEL LOG_LIMIT MEMORY_LIMIT METRICS_INTERVAL NO_REDACT_ENV
  JOB_LOST_TIMEOUT MAX_ATTEMPTS REDACT_ENV RETRY_DELAY RETRY_ON SETUP SETUP_TIMEOUT SPEC STALL_ACTION STALL_AFTER STOP_SIGNAL TIMEOUT
  WARN_PERIOD WARN_SIGNAL`);
const OWN_LOG = words("LOG_FORMAT LOG_LEVEL");
const AGENT = words(
  "ADMIN AGENT_LABEL CONTAINMENT FLUSH_TIMEOUT ON_DISCONNECT ON_SPOOL_FULL ON_STOP QUIET SPOOL_DIR SPOOL_LIMIT STOP_BUDGET",
);
const TRACKER = words(`AGENT_TOKENS CLIENT_CA DATA DRAIN_TIMEOUT DURABILITY HEADERS_TIMEOUT HEARTBEAT_INTERVAL
  KEEPALIVE_INTERVAL LEASE LISTEN LOST_TIMEOUT MAX_CALL_RATE MAX_CLIENT_AGENTS MAX_CLIENT_CALLS MAX_CONNECTIONS MAX_SPEC_SIZE
  MAX_STREAMS OPERATOR_TOKENS OTLP_ENDPOINT OTLP_METRICS_INTERVAL REQUEST_TIMEOUT RETAIN_AGE RETAIN_SIZE TLS_CERT TLS_KEY
  TOKEN_KEYS TRACKER_CONFIG TRACKER_CORS TRACKER_INSECURE TRACKER_LOG_LIMIT`);
const VARIABLES: Readonly<Record<string, readonly string[]>> = {
  run: [...CLIENT, ...JOB, ...OWN_LOG, ...AGENT],
  submit: [...CLIENT, ...JOB, "PENDING_TIMEOUT"],
  flush: [...CLIENT.filter((name) => name !== "CONNECT_TIMEOUT"), ...OWN_LOG, "FLUSH_TIMEOUT"],
  token: ["TOKEN_EXPIRES", "TOKEN_KEYS"],
  jobs: CLIENT,
  top: [...CLIENT, "TOP_INTERVAL", "TOP_SORT"],
  show: CLIENT,
  status: [...CLIENT, "STATUS_WAIT"],
  logs: CLIENT,
  metrics: CLIENT,
  wait: [...CLIENT, "WAIT_TIMEOUT"],
  cancel: CLIENT,
  signal: [...CLIENT, "ORDER_TIMEOUT"],
  pause: [...CLIENT, "ORDER_TIMEOUT"],
  resume: [...CLIENT, "ORDER_TIMEOUT"],
  tracker: [...OWN_LOG, ...TRACKER],
  check: [],
  config: [],
  completion: [],
  demo: [],
};

it.each(Object.keys(COMMANDS))(
  "belay %s has variables for configuration only, and its help names them",
  async (name) => {
    const command = await COMMANDS[name]?.load();
    const variables = Object.entries(command?.flags ?? {}).flatMap(([key, flag]) => variableName(key, flag) ?? []);
    const expected = VARIABLES[name]?.map((variable) => `BELAY_${variable}`) ?? [];
    expect(variables.sort()).toEqual(expected.sort());
    const { stdout } = await runInProcess([name, "--help"]);
    for (const variable of variables) expect(stdout).toMatch(new RegExp(`[ (]${variable}\\)`));
  },
);

it("an environment variable means the same to every command that reads it, and no job is given one", async () => {
  const meanings = new Map<string, string>();
  for (const entry of Object.values(COMMANDS)) {
    for (const [key, flag] of Object.entries((await entry.load()).flags)) {
      const variable = variableName(key, flag);
      if (variable === undefined) continue;
      expect(["BELAY_JOB_ID", "BELAY_ATTEMPT", "BELAY_STEP"]).not.toContain(variable);
      // The default and the wording of these two differ, not what they mean.
      const meaning = ["connectTimeout", "job"].includes(key) ? key : flag.help;
      expect(meanings.get(variable) ?? meaning, variable).toBe(meaning);
      meanings.set(variable, meaning);
    }
  }
});

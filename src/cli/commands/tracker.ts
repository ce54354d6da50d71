import { isIP } from "node:net";
import { proofOf } from "../../base/proof.ts";
import { BelayError, messageOf } from "../../base/errors.ts";
import type { Logger } from "../../base/logger.ts";
import type { Tracker, TrackerOptions, TrackerTls } from "../../tracker/options.ts";
import { startTracker } from "../../tracker/server.ts";
import { aborted } from "../process/aborted.ts";
import { checkCommand } from "./tracker-check.ts";
import type { Command } from "../flags/command.ts";
import { command } from "../flags/command.ts";
import { EXIT_OK } from "../process/exit-codes.ts";
import { readConfigFile } from "../flags/config-file.ts";
import { readFlagFile } from "../flags/flag-file.ts";
import type { Values } from "../flags/flags.ts";
import { choice, count, duration, many, size, text, toggle, wanted } from "../flags/flags.ts";
import { logFlags, loggerOf } from "../flags/log-flags.ts";
import { linesOf } from "../flags/token-file.ts";
import { takeStopSignals } from "../process/stop-signals.ts";
import { ignoredSignals } from "../process/ignored-signals.ts";
import { takeWarningSignals } from "../process/warning-signals.ts";
import { watchTerminal } from "../process/terminal-gone.ts";

const flagTable = {
  config: text({
    variable: "BELAY_TRACKER_CONFIG",
    value: "FILE",
    help: "YAML file with flags: `listen: 0.0.0.0:7070`, `agent-tokens: [file]`; flags and variables win over it",
  }),
  listen: text({
    value: "ADDRESS",
    default: "127.0.0.1:7070",
    help: "host:port or unix:/path; port 0 takes a free one",
  }),
  data: text({ value: "DIR", default: "./belay-data", help: "directory that holds everything; made if missing" }),
  heartbeatInterval: duration({ default: "10s", help: "time between two heartbeats of an agent" }),
  lease: duration({ default: "30s", help: "time of silence after which a job is LOST; at least two heartbeats" }),
  keepaliveInterval: duration({
    default: "15s",
    help: "silence after which watches and followed logs show proxies that they live; 0: never",
  }),
  tlsCert: text({ value: "FILE", help: "PEM file of the tracker's certificate; with --tls-key, it speaks TLS" }),
  tlsKey: text({ value: "FILE", help: "PEM file of the certificate's private key" }),
  clientCa: text({ value: "FILE", help: "PEM file of authorities; clients must show a certificate of theirs" }),
  agentTokens: many(
    { value: "FILE", separator: ",", help: "file with tokens for agents, one a line" },
    (given) => given,
  ),
  operatorTokens: many(
    { value: "FILE", separator: ",", help: "file with tokens for operators, one a line" },
    (given) => given,
  ),
  tokenKeys: many(
    { value: "FILE", separator: ",", help: "file with keys of signed tokens, one a line; the first one signs" },
    (given) => given,
  ),
  cors: many(
    {
      variable: "BELAY_TRACKER_CORS",
      value: "ORIGIN",
      separator: ",",
      help: "let pages of this origin call from a browser, where no token is asked for, too; * is any",
    },
    (given) => given,
  ),
  maxConnections: count({ default: 20_000, help: "connections open at one time; more are closed at once" }),
  maxStreams: count({ default: 1024, help: "calls under way on one connection" }),
  maxClientAgents: count({
    default: 16_384,
    help: "agents' streams of one client, which is a token's or certificate's name, else an address; 0: no limit",
  }),
  maxClientCalls: count({
    default: 4096,
    help: "other calls of one client under way, watches and followed logs among them; 0: no limit",
  }),
  maxCallRate: count({ default: 1000, help: "calls of JobService a second by one client; 0: no limit" }),
  maxSpecSize: size({ default: "1MiB", help: "largest spec of a job that is submitted" }),
  headersTimeout: duration({ default: "10s", help: "time for a connection's first bytes and a request's headers" }),
  requestTimeout: duration({ default: "30s", help: "time for a whole request, and for a connection without any" }),
  insecure: toggle({
    variable: "BELAY_TRACKER_INSECURE",
    help: "allow listening beyond this machine without TLS and tokens",
  }),
  durability: choice(["process", "disk"], {
    default: "process",
    help: "what an ack promises: process survives kill -9 of the tracker, disk a power cut as well (slower)",
  }),
  retainAge: duration({ default: "0", help: "remove jobs that ended this long ago; 0: never" }),
  retainSize: size({
    default: "0",
    help: "remove those that ended first while all logs and metrics are larger; 0: never",
  }),
  logLimit: size({
    variable: "BELAY_TRACKER_LOG_LIMIT",
    default: "0",
    help: "keep this much output of one job's attempt; what comes beyond shows as a gap; 0: all",
  }),
  otlpEndpoint: text({
    value: "URL",
    empty: true,
    help:
      "export jobs as spans and what they use as metrics, by OTLP over HTTP, such as http://127.0.0.1:4318; " +
      "default: OTEL_EXPORTER_OTLP_ENDPOINT; empty: nowhere",
  }),
  otlpMetricsInterval: duration({ default: "10s", help: "time between two exports of what jobs use; 0: none" }),
  repair: toggle({ help: "with check: mend what can be mended" }),
  drainTimeout: duration({ default: "5s", help: "time given to open streams when stopping" }),
  ...logFlags,
};

/** `belay tracker` */
export const tracker: Command = command({
  name: "tracker",
  args: [
    { name: "[action]", help: 'nothing, or "check": verify a data directory that no tracker uses' },
    { name: "[directory]", help: "what to check; default: that of --data" },
  ],
  about:
    "Records jobs, their output and what they use, and passes orders to their agents. One process, one port, one " +
    "directory. SIGTERM, SIGINT and SIGQUIT stop it in order; agents keep their jobs running and come back.",
  flags: flagTable,
  examples: [
    ["belay tracker", "on this machine only, data in ./belay-data"],
    ["belay tracker --listen unix:/run/belay.sock", "through a socket"],
    [
      "belay tracker --listen 0.0.0.0:7070 --tls-cert c.pem --tls-key k.pem --agent-tokens a --operator-tokens o",
      "for others",
    ],
    ["belay tracker --retain-age 30d --retain-size 50GiB", "old jobs make room; never one that runs"],
    ["belay tracker check ./belay-data", "every checksum; exits with 1 if something is missing; --repair mends"],
  ],
  notes: `OpenTelemetry: OTEL_EXPORTER_OTLP_HEADERS, OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES count; see docs/metrics.md.

Pages: /healthz (it runs), /readyz (it can take work: the data directory is there and takes a write, the disk is not
full, the event loop turns), /metrics (for Prometheus; with tokens, an operator's is needed). grpc.health.v1 says the
same as /readyz.

Damage to the data directory, a full disk, and what check --repair does: docs/storage.md.

SIGHUP has it read certificates and tokens again, in a terminal as well as under a supervisor. When the terminal that
it runs in is closed, it stops in order, as with SIGTERM; under nohup it goes on.`,
  run: async ({ flags: typed, given, args, io }) => {
    const config = typed.config === undefined ? {} : await readConfigFile(typed.config, flagTable, given);
    const set: Values<typeof flagTable> = { ...typed, ...config };
    const flags = { ...set, otlpEndpoint: set.otlpEndpoint ?? io.env["OTEL_EXPORTER_OTLP_ENDPOINT"] };
    if (args[0] === "check") return checkCommand(args[1] ?? flags.data, flags.repair, io);
    if (args[0] !== undefined) throw wanted("the action", args[0], '"check", or nothing to start a tracker');
    if (flags.repair)
      throw new BelayError("BAD_USAGE", "Cannot use --repair without check: belay tracker check --repair");
    const logger = loggerOf(flags, "info", io);
    const options = await trackerOptions(flags);
    const isIgnored = ignoredSignals(io);
    const signals = takeStopSignals({
      isIgnored,
      signals: ["SIGTERM", "SIGINT", "SIGQUIT"],
      remark: (signal, step) => {
        const what = step === 1 ? "stopping; once more stops at once" : "stopping at once";
        void io.stderr.write(`belay: ${signal}: ${what}\n`);
      },
    });
    takeWarningSignals((signal) => logger.info(`Ignored ${signal}: a tracker has no job to pass it on to`), isIgnored);
    const terminalGone = watchTerminal();
    const starting = startTracker({ ...options, logger });
    process.on("SIGHUP", () => {
      // The kernel sends it when a terminal goes, and people when files have changed: only the terminal tells which.
      if (terminalGone()) {
        if (!isIgnored("SIGHUP")) signals.take("SIGHUP");
        return;
      }
      // A start that fails is reported below.
      void starting.then((started) => reload(started, flags, logger)).catch(() => undefined);
    });
    const server = await starting;
    await io.stderr.write(`listening on ${server.address}, data in ${flags.data}\n${nextSteps(server.address, flags)}`);
    await aborted(signals.stop);
    await Promise.race([server.close(), aborted(signals.stopNow)]);
    await logger.flush();
    return EXIT_OK;
  },
});

/** Reads certificates and tokens again. What cannot be used changes nothing. */
async function reload(server: Tracker, flags: Values<typeof flagTable>, logger: Logger): Promise<void> {
  try {
    const { tls, tokens } = await trackerOptions(flags);
    server.reload({ ...(tls === undefined ? {} : { tls }), ...(tokens === undefined ? {} : { tokens }) });
    logger.info("Read certificates and tokens again");
  } catch (error) {
    logger.error("Cannot read certificates and tokens again: those there go on", { error: messageOf(error) });
  }
}

async function trackerOptions(flags: Values<typeof flagTable>): Promise<TrackerOptions> {
  const tls = await tlsOf(flags);
  const agent = await tokensOf(flags.agentTokens, "--agent-tokens");
  const operator = await tokensOf(flags.operatorTokens, "--operator-tokens");
  const keys = await tokensOf(flags.tokenKeys, "--token-keys");
  return {
    listen: flags.listen,
    dataDirectory: flags.data,
    heartbeatInterval: flags.heartbeatInterval,
    lease: flags.lease,
    keepaliveInterval: flags.keepaliveInterval,
    drainTimeout: flags.drainTimeout,
    durability: flags.durability,
    retention: { age: flags.retainAge, bytes: flags.retainSize },
    logLimit: flags.logLimit,
    insecure: flags.insecure,
    ...(flags.otlpEndpoint === undefined || flags.otlpEndpoint === ""
      ? {}
      : { otlp: { endpoint: flags.otlpEndpoint, metricsInterval: flags.otlpMetricsInterval } }),
    ...(tls === undefined ? {} : { tls }),
    cors: flags.cors,
    limits: {
      connections: flags.maxConnections,
      streams: flags.maxStreams,
      agentsPerClient: flags.maxClientAgents,
      callsPerClient: flags.maxClientCalls,
      callsPerSecond: flags.maxCallRate,
      specBytes: flags.maxSpecSize,
      headersTimeout: flags.headersTimeout,
      requestTimeout: flags.requestTimeout,
    },
    ...(agent.length + operator.length + keys.length === 0 ? {} : { tokens: { agent, operator, keys } }),
  };
}

async function tlsOf(flags: Values<typeof flagTable>): Promise<TrackerTls | undefined> {
  if (flags.tlsCert === undefined && flags.tlsKey === undefined) {
    if (flags.clientCa === undefined) return undefined;
    throw new BelayError("BAD_USAGE", "Cannot use --client-ca without --tls-cert and --tls-key");
  }
  const files = { ca: flags.clientCa, cert: flags.tlsCert, key: flags.tlsKey };
  const { ca, cert, key } = await proofOf(files, { ca: "--client-ca", cert: "--tls-cert", key: "--tls-key" });
  if (cert === undefined || key === undefined) return undefined;
  return { cert, key, ...(ca !== undefined && { clientCa: ca }) };
}

async function tokensOf(paths: readonly string[], flag: string): Promise<string[]> {
  const tokens: string[] = [];
  for (const path of paths) tokens.push(...linesOf(await readFlagFile(path, flag), path, flag));
  return tokens;
}

/** What to type next, on a worker and here. */
function nextSteps(address: string, flags: Values<typeof flagTable>): string {
  const tokens = flags.agentTokens.length + flags.operatorTokens.length + flags.tokenKeys.length > 0;
  const reach = `${address === "http://127.0.0.1:7070" ? "" : ` --tracker ${reachable(address)}`}${tokens ? " --token-file FILE" : ""}`;
  return `run a job:  belay run${reach} -- echo 'it works'\nsee jobs:   belay jobs${reach}\n`;
}

/** An address that others can use: nobody can connect to 0.0.0.0. */
function reachable(address: string): string {
  if (!URL.canParse(address)) return address;
  const url = new URL(address);
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
  const anywhere = isIP(host) !== 0 && /^(0\.0\.0\.0|::)$/.test(host);
  return anywhere ? address.replace(url.hostname, "HOST") : address;
}

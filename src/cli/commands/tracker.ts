import { isIP } from "node:net";
import { proofOf } from "../../base/network/proof.ts";
import { BelayError, messageOf } from "../../base/errors.ts";
import type { Logger } from "../../base/logger.ts";
import type { Tracker, TrackerOptions, TrackerTls } from "../../tracker/options.ts";
import { startTracker } from "../../tracker/server.ts";
import { aborted } from "../process/aborted.ts";
import type { Command } from "../flags/command.ts";
import { command } from "../flags/command.ts";
import { EXIT_OK } from "../process/exit-codes.ts";
import { readConfigFile } from "../flags/config-file.ts";
import { readFlagFile } from "../flags/flag-file.ts";
import type { Values } from "../flags/flags.ts";
import { choice, count, duration, grouped, many, size, text, toggle, wanted } from "../flags/flags.ts";
import { logFlags, loggerOf } from "../flags/log-flags.ts";
import { linesOf } from "../flags/token-file.ts";
import { takeStopSignals } from "../process/stop-signals.ts";
import { ignoredSignals } from "../process/ignored-signals.ts";
import { takeWarningSignals } from "../process/warning-signals.ts";
import { watchTerminal } from "../process/terminal-gone.ts";

const flagTable = {
  ...grouped("Listen and TLS", {
    listen: text({
      value: "ADDRESS",
      default: "127.0.0.1:7070",
      help: "host:port or unix:/path; port 0: any free port",
    }),
    tlsCert: text({ value: "FILE", help: "certificate of the tracker (PEM); with --tls-key, it speaks TLS" }),
    tlsKey: text({ value: "FILE", help: "private key of that certificate (PEM)" }),
    clientCa: text({ value: "FILE", help: "require client certificates signed by these CAs (PEM)" }),
    insecure: toggle({
      variable: "BELAY_TRACKER_INSECURE",
      help: "allow listening beyond this machine without TLS and tokens",
    }),
    cors: many(
      {
        variable: "BELAY_TRACKER_CORS",
        value: "ORIGIN",
        separator: ",",
        help: "allow web pages of this origin to call the tracker, with or without tokens; *: any origin",
      },
      (given) => given,
    ),
  }),
  ...grouped("Tokens", {
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
  }),
  ...grouped("Limits", {
    maxConnections: count({ default: 20_000, help: "connections open at one time; further ones are closed at once" }),
    maxStreams: count({ default: 1024, help: "calls in progress on one connection" }),
    maxClientAgents: count({
      default: 16_384,
      help: "agent streams per client (identified by token, certificate or address); 0: no limit",
    }),
    maxClientCalls: count({
      default: 4096,
      help: "other calls in progress per client, watches and followed logs included; 0: no limit",
    }),
    maxCallRate: count({ default: 1000, help: "calls of JobService a second per client; 0: no limit" }),
    maxSpecSize: size({ default: "1MiB", help: "maximum size of the spec of a submitted job" }),
    headersTimeout: duration({ default: "10s", help: "time for a connection's first bytes and a request's headers" }),
    requestTimeout: duration({
      default: "30s",
      help: "time for a whole request, and for a connection that has no request",
    }),
  }),
  ...grouped("Liveness", {
    heartbeatInterval: duration({ default: "10s", help: "time between two heartbeats of an agent" }),
    lease: duration({ default: "30s", help: "silence after which a job is LOST; at least two heartbeat intervals" }),
    lostTimeout: duration({
      default: "1h",
      help: "time after which a LOST job's attempt ends, unless its spec says otherwise; 0: never",
    }),
    keepaliveInterval: duration({
      default: "15s",
      help: "silence after which watches and followed logs send a keepalive, so that proxies keep them open; 0: never",
    }),
  }),
  ...grouped("Retention", {
    retainAge: duration({ default: "0", help: "delete jobs that ended this long ago; 0: never" }),
    retainSize: size({
      default: "0",
      help: "while logs and metrics exceed this size, delete the jobs that ended longest ago; 0: never",
    }),
    logLimit: size({
      variable: "BELAY_TRACKER_LOG_LIMIT",
      default: "0",
      help:
        "maximum stored output per attempt; more is recorded as a gap. This protects the tracker; belay run --log-limit " +
        "limits what the job's agent sends; 0: no limit",
    }),
  }),
  ...grouped("Durability", {
    data: text({ value: "DIR", default: "./belay-data", help: "directory of all data; created if missing" }),
    durability: choice(["process", "disk"], {
      default: "process",
      help: "what an ack guarantees: process survives kill -9 of the tracker, disk also a power failure (slower)",
    }),
  }),
  ...grouped("OpenTelemetry", {
    otlpEndpoint: text({
      value: "URL",
      empty: true,
      help:
        "export jobs as spans and resource use as metrics, by OTLP over HTTP, such as http://127.0.0.1:4318; " +
        "empty: do not export",
      defaultText: "OTEL_EXPORTER_OTLP_ENDPOINT",
    }),
    otlpMetricsInterval: duration({ default: "10s", help: "time between two exports of resource use; 0: none" }),
  }),
  ...grouped("Stopping", {
    drainTimeout: duration({ default: "5s", help: "time given to open streams when stopping" }),
  }),
  ...logFlags,
  ...grouped("General", {
    config: text({
      variable: "BELAY_TRACKER_CONFIG",
      value: "FILE",
      help: "YAML file with flags: `listen: 0.0.0.0:7070`, `agent-tokens: [file]`; flags and variables win over it",
    }),
    repair: toggle({ variable: false, hidden: true, help: "with check: repair what can be repaired" }),
  }),
};

/** `belay tracker` */
export const tracker: Command = command({
  name: "tracker",
  // `belay tracker check DIR` was the name of `belay check DIR`.
  args: [{ name: "[action]" }, { name: "[directory]" }],
  about:
    "Runs the server: stores jobs, logs and metrics, and relays commands to agents. One process, one port, one " +
    "directory. SIGTERM, SIGINT and SIGQUIT stop it in order; agents keep their jobs running and reconnect.",
  flags: flagTable,
  examples: [
    ["belay tracker", "on this machine only, data in ./belay-data"],
    ["belay tracker --listen unix:/run/belay.sock", "through a socket"],
    [
      "belay tracker --listen 0.0.0.0:7070 --tls-cert c.pem --tls-key k.pem --agent-tokens a --operator-tokens o",
      "for other machines",
    ],
    ["belay tracker --retain-age 30d --retain-size 50GiB", "delete old jobs; never one that runs"],
  ],
  notes: `OpenTelemetry: OTEL_EXPORTER_OTLP_HEADERS, OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES apply:
docs/metrics.md.

Pages: /healthz (the process runs), /readyz (it accepts work: the data directory is writable, the disk is not full, the
event loop is not blocked), /metrics (for Prometheus; where there are tokens, an operator's is needed). grpc.health.v1
reports the same as /readyz.

belay check verifies a data directory. Damage to it, a full disk, and what a repair does: docs/storage.md.

On SIGHUP the tracker reads certificates and tokens again, in a terminal as well as under a supervisor. When the
terminal in which it runs is closed, it stops in order, as on SIGTERM; under nohup it keeps running.`,
  run: async ({ flags: typed, given, args, io }) => {
    const config = typed.config === undefined ? {} : await readConfigFile(typed.config, flagTable, given);
    const set: Values<typeof flagTable> = { ...typed, ...config };
    const flags = { ...set, otlpEndpoint: set.otlpEndpoint ?? io.env["OTEL_EXPORTER_OTLP_ENDPOINT"] };
    if (args[0] === "check") {
      const { checkCommand } = await import("./check.ts");
      return checkCommand(args[1] ?? flags.data, flags.repair, io);
    }
    if (args[0] !== undefined) throw wanted("the argument", args[0], "flags only");
    if (flags.repair) throw new BelayError("BAD_USAGE", "Cannot use --repair with a tracker: belay check --repair DIR");
    const logger = loggerOf(flags, "info", io);
    const options = await trackerOptions(flags);
    const isIgnored = ignoredSignals(io);
    const signals = takeStopSignals({
      isIgnored,
      signals: ["SIGTERM", "SIGINT", "SIGQUIT"],
      remark: (signal, step) => {
        const what = step === 1 ? "stopping; a second signal stops at once" : "stopping at once";
        void io.stderr.write(`belay: ${signal}: ${what}\n`);
      },
    });
    takeWarningSignals((signal) => logger.info(`Ignored ${signal}: a tracker has no job to pass it on to`), isIgnored);
    const terminalGone = watchTerminal();
    const starting = startTracker({ ...options, logger });
    process.on("SIGHUP", () => {
      // The kernel sends SIGHUP when the terminal is closed, and users send it when files have changed. Only the
      // terminal's state shows which of the two happened.
      if (terminalGone()) {
        if (!isIgnored("SIGHUP")) signals.receive("SIGHUP");
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

/** Reads certificates and tokens again. If one of the files cannot be used, nothing changes. */
async function reload(server: Tracker, flags: Values<typeof flagTable>, logger: Logger): Promise<void> {
  try {
    const { tls, tokens } = await trackerOptions(flags);
    server.reload({ ...(tls === undefined ? {} : { tls }), ...(tokens === undefined ? {} : { tokens }) });
    logger.info("Read certificates and tokens again");
  } catch (error) {
    logger.error("Cannot read certificates and tokens again: the present ones stay in use", {
      error: messageOf(error),
    });
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
    lostTimeout: flags.lostTimeout,
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

/** Command lines to type next, on a worker and on this machine. */
function nextSteps(address: string, flags: Values<typeof flagTable>): string {
  const tokens = flags.agentTokens.length + flags.operatorTokens.length + flags.tokenKeys.length > 0;
  const reach = `${address === "http://127.0.0.1:7070" ? "" : ` --tracker ${reachable(address)}`}${tokens ? " --token-file FILE" : ""}`;
  return `run a job:  belay run${reach} -- echo 'it works'\nsee jobs:   belay jobs${reach}\n`;
}

/** An address that other machines can use: a connection to 0.0.0.0 is not possible. */
function reachable(address: string): string {
  if (!URL.canParse(address)) return address;
  const url = new URL(address);
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
  const anywhere = isIP(host) !== 0 && /^(0\.0\.0\.0|::)$/.test(host);
  return anywhere ? address.replace(url.hostname, "HOST") : address;
}

import { BelayError } from "../../base/errors.ts";
import { shortId } from "../../base/ids.ts";
import type { AgentOptions, OnDisconnect } from "../../agent/options.ts";
import { runAttempts } from "../../agent/attempts/run-attempts.ts";
import { isRetried, maxAttempts } from "../../contract/retry.ts";
import { EndReason, FailureClass, type JobSpec } from "../../gen/belay/v1/job_pb.ts";
import { aborted } from "../process/aborted.ts";
import { boundedLines } from "../process/bounded-lines.ts";
import type { Command } from "../flags/command.ts";
import { command } from "../flags/command.ts";
import { connectionFlags, flushTimeout, securityOf } from "../flags/connection-flags.ts";
import { EXIT_CODES_HELP } from "../process/exit-codes.ts";
import type { Flag, Values } from "../flags/flags.ts";
import { choice, duration, grouped, pairs, size, text, toggle, wanted } from "../flags/flags.ts";
import { parseDuration } from "../../contract/durations.ts";
import { ignoredSignals } from "../process/ignored-signals.ts";
import { checkJobId } from "../flags/job-argument.ts";
import { logFlags, loggerOf } from "../flags/log-flags.ts";
import { passThrough } from "../process/pass-through.ts";
import { jobFlags } from "../spec/job-flags.ts";
import { specOf } from "../spec/job-spec.ts";
import { takeStopSignals } from "../process/stop-signals.ts";
import { takeWarningSignals } from "../process/warning-signals.ts";
import { STOPPED_READER_MS } from "../process/when-read.ts";
import { attemptLines, reportLeft, reportMissing, reportOutcome } from "./run-report.ts";

const onDisconnect: Flag<OnDisconnect> = {
  value: "WHAT",
  words: ["continue", "cancel-after="],
  default: { kind: "continue" },
  defaultText: "continue",
  help: "what to do when the tracker is unreachable: continue, or cancel-after=DURATION",
  read: (texts, what) => {
    const given = texts.at(-1) ?? "";
    if (given === "continue") return { kind: "continue" };
    const after = /^cancel-after=(.+)$/.exec(given)?.[1];
    if (after === undefined) throw wanted(what, given, "continue or cancel-after=10m");
    return { kind: "cancel-after", ms: parseDuration(after, what) };
  },
};

const flagTable = {
  ...grouped("Job", { job: text({ value: "ID", namesJob: true, help: "id of the job", defaultText: "a new one" }) }),
  ...jobFlags,
  ...grouped("Attempts", {
    takeover: toggle({
      variable: false,
      help: "the agent that has the job is known to be dead: take the job now, not only when its lease has run out",
    }),
    onStop: choice(["end", "requeue"], {
      help:
        "what SIGTERM, SIGHUP and SIGQUIT do to the job: end it, or leave it to its next attempt, with exit code 75; " +
        "SIGINT (Ctrl-C) always ends it",
      defaultText: "requeue while attempts are left, then end",
    }),
    stopBudget: duration({
      default: "20s",
      help: "time that such a stop leaves to the steps after the end (--after), all of them together; 0: none runs",
    }),
  }),
  ...connectionFlags,
  ...grouped("Tracker", {
    connectTimeout: duration({
      default: "60s",
      help: "how long to keep trying an unreachable tracker at the start; 0: without limit",
    }),
    flushTimeout,
    onDisconnect,
  }),
  ...grouped("Spool", {
    spoolDir: text({
      value: "DIR",
      help: "directory that buffers output on disk until the tracker has stored it",
      defaultText: "buffered in memory only",
    }),
    spoolLimit: size({ default: "1GiB", help: "maximum size of that buffer" }),
    onSpoolFull: choice(["block", "drop"], {
      default: "block",
      help: "when it is full: block pauses the job's output; drop discards the oldest output and records the gap",
    }),
  }),
  ...grouped("Agent", {
    agentLabel: pairs({ separator: ",", help: "label of this agent, for users and filters" }),
    containment: choice(["auto", "cgroup", "process-group"], {
      value: "HOW",
      default: "auto",
      help: "how to track and kill the job's processes: auto, cgroup or process-group",
    }),
    admin: text({
      value: "ADDRESS",
      help: "serve /healthz, /readyz and /metrics of this agent at host:port or unix:/path; beyond this machine with --insecure",
    }),
  }),
  ...logFlags,
  ...grouped("General", {
    quiet: toggle({ short: "q", help: "do not print the job's output here, only the last lines of one that fails" }),
  }),
};

/** Reasons of an end for which a user or a program waits: a reader that stops reading must not delay such an end. */
const ORDERED_ENDS: ReadonlySet<EndReason> = new Set([
  EndReason.CANCELED,
  EndReason.AGENT_STOPPED,
  EndReason.TIMED_OUT,
  EndReason.STALLED,
  EndReason.DISCONNECTED,
  EndReason.SUPERSEDED,
]);

/** Effects of the first, second and third stop signal. */
const STOP_REMARKS = {
  1: ": ending the job; a second signal skips the grace period",
  2: " again: killing the job; a third signal leaves at once",
  3: " again: leaving at once",
} as const;

/** `belay run` */
export const run: Command = command({
  name: "run",
  args: [
    {
      name: "[command...]",
      help: "program and arguments, run without a shell; without one, the spec that the tracker has",
    },
  ],
  about:
    "Runs one job under an agent: setup steps, then the command. Everything it prints and uses goes to the tracker; " +
    "its output is also printed here. With --max-attempts, an attempt that fails is followed by the next one. SIGTERM, " +
    "SIGINT, SIGHUP and SIGQUIT end what runs (see --on-stop); a second one skips the grace period, a third leaves at " +
    "once. Warnings of batch systems, such as SIGUSR1 and SIGXCPU, go to the job.",
  flags: flagTable,
  takesCommandLine: true,
  examples: [
    ["belay run -- python train.py --epochs 3", "a new job"],
    ["belay run --job train-17 --setup 'npm ci' -- npm test", "with an id and a setup step"],
    ["belay run --max-attempts 3 --retry-on job -- ./flaky", "again when it fails, twice at most"],
    ["belay run --spec job.yaml", "a spec file (the JobSpec of the contract)"],
    ["belay run --job train-18", "a job that was registered with belay submit"],
  ],
  notes: `The job's environment has BELAY_JOB_ID, BELAY_ATTEMPT, BELAY_STEP and TRACEPARENT (continuing this command's trace, if
any). Lines that the job appends to the file $BELAY_METRICS become its own metrics: "loss=0.31 step=10",
'progress=0.42 note="epoch 3/10"'. BELAY_TRACKER has the tracker's address for a belay in the job; credentials are not
passed on.

The job has no standard input: it reads /dev/null. It has the limits, umask, niceness and ignored signals with which
belay was started. Variables that Node or a library of Belay would obey, such as NODE_OPTIONS, affect the job only.

${EXIT_CODES_HELP}`,
  run: async (invocation) => {
    const { flags, io } = invocation;
    const spec = await specOf(invocation);
    if (spec === undefined && flags.job === undefined) {
      throw new BelayError(
        "BAD_USAGE",
        "Nothing to run: give a command after --, --spec FILE, or --job ID of a job that was submitted",
      );
    }
    checkAttempts(flags, spec);
    const jobId = flags.job === undefined ? shortId() : checkJobId(flags.job, "--job");
    const print = boundedLines(io.stderr);
    const remark = (line: string): void => {
      if (io.stderr.isTerminal) print(`belay: ${line}\n`);
    };
    const isIgnored = ignoredSignals(io);
    const signals = takeStopSignals({ isIgnored, remark: (signal, step) => remark(`${signal}${STOP_REMARKS[step]}`) });
    // Warning signals are ignored before there is a job to pass them on to, and after it has ended.
    const endWarnings = takeWarningSignals(() => undefined);
    const logger = loggerOf(flags, io.stderr.isTerminal ? "error" : "warn", io);
    const output = passThrough(io);
    if (flags.job === undefined) remark(`Job ${jobId}`);
    const begin = performance.now();
    try {
      const running = runAttempts({
        ...agentOptions(flags),
        jobId,
        onAttempt: (outcome) => {
          print(attemptLines(outcome));
          output.nextAttempt();
        },
        environment: io.env,
        ...(io.inherited === undefined ? {} : { inherited: io.inherited }),
        ...(spec === undefined ? {} : { spec }),
        security: securityOf(flags),
        logger,
        onProgress: remark,
        ...(!flags.quiet && {
          onOutput: (stream, data) => output.pass(stream, data),
          outputBehind: () => output.behind(),
        }),
        stop: signals.stop,
        stopNow: signals.stopNow,
        signals: (pass) => takeWarningSignals(pass, isIgnored),
      });
      const outcome = await Promise.race([running, aborted(signals.leave)]);
      const isUrgent = outcome === undefined || ORDERED_ENDS.has(outcome.result.reason);
      const missing = await output.end(() => {
        if (signals.leave.aborted) return 0;
        return isUrgent || signals.stop.aborted ? STOPPED_READER_MS : Math.max(STOPPED_READER_MS, flags.flushTimeout);
      });
      await reportMissing(missing, jobId, io);
      if (outcome === undefined) return await reportLeft(flags.spoolDir, io);
      return await reportOutcome(jobId, outcome, flags, io);
    } catch (error) {
      await output.end(() => STOPPED_READER_MS);
      if (!(error instanceof BelayError) || error.code !== "TRACKER_UNREACHABLE") throw error;
      const { explainUnreachable } = await import("../client/explain.ts");
      throw await explainUnreachable(error, flags, performance.now() - begin);
    } finally {
      signals.release();
      endWarnings();
      await logger.flush();
    }
  },
});

/** Checks what the flags of attempts expect of the job. @throws BelayError `BAD_USAGE` */
function checkAttempts({ takeover, job, onStop }: Values<typeof flagTable>, spec: JobSpec | undefined): void {
  if (takeover && job === undefined) {
    throw new BelayError("BAD_USAGE", "Cannot use --takeover without --job: a new job has no agent yet");
  }
  if (onStop !== "requeue" || spec === undefined || isRetried(spec.retry, 1, FailureClass.PREEMPTED)) return;
  const needed = maxAttempts(spec.retry) < 2 ? "--max-attempts of 2 or more" : '"preempted" among --retry-on';
  throw new BelayError("BAD_USAGE", `Cannot use --on-stop requeue: it needs ${needed}`);
}

function agentOptions(flags: Values<typeof flagTable>): Omit<AgentOptions, "jobId"> {
  return {
    tracker: flags.tracker,
    connectTimeout: flags.connectTimeout,
    flushTimeout: flags.flushTimeout,
    onDisconnect: flags.onDisconnect,
    ...(flags.spoolDir === undefined ? {} : { spoolDirectory: flags.spoolDir }),
    spoolLimit: flags.spoolLimit,
    onSpoolFull: flags.onSpoolFull,
    labels: Object.fromEntries(flags.agentLabel),
    containment: flags.containment,
    takeOver: flags.takeover,
    stopBudget: flags.stopBudget,
    ...(flags.onStop === undefined ? {} : { onStop: flags.onStop }),
    ...(flags.admin === undefined ? {} : { admin: flags.admin }),
  };
}

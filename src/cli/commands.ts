import type { Command } from "./flags/command.ts";
import { DEMO_TIME } from "./demo/demo-time.ts";

/** Headings of the overview, in order. */
export const COMMAND_GROUPS = ["Run", "Watch", "Control", "Set up"] as const;

/** A command's place in the overview, and a function that loads it. Loading one must not load the others. */
export interface CommandEntry {
  readonly group: (typeof COMMAND_GROUPS)[number];
  readonly summary: string;
  readonly load: () => Promise<Command>;
}

/** All commands, in the order of the overview. */
export const COMMANDS: Readonly<Record<string, CommandEntry>> = {
  run: {
    group: "Run",
    summary: "run one job under an agent",
    load: async () => (await import("./commands/run.ts")).run,
  },
  submit: {
    group: "Run",
    summary: "register a job that an agent will pick up",
    load: async () => (await import("./commands/submit.ts")).submit,
  },
  flush: {
    group: "Run",
    summary: "deliver what a dead agent left in its spool directory",
    load: async () => (await import("./commands/flush.ts")).flush,
  },
  token: {
    group: "Run",
    summary: "make a token for the agent of one job",
    load: async () => (await import("./commands/token.ts")).token,
  },
  jobs: {
    group: "Watch",
    summary: "list jobs",
    load: async () => (await import("./commands/jobs.ts")).jobs,
  },
  top: {
    group: "Watch",
    summary: "full-screen live view of jobs",
    load: async () => (await import("./commands/top.ts")).top,
  },
  show: {
    group: "Watch",
    summary: "show everything that is known about a job",
    load: async () => (await import("./commands/show.ts")).show,
  },
  status: {
    group: "Watch",
    summary: "ask the agent for the job's current state and processes",
    load: async () => (await import("./commands/status.ts")).status,
  },
  logs: {
    group: "Watch",
    summary: "print a job's output",
    load: async () => (await import("./commands/logs.ts")).logs,
  },
  metrics: {
    group: "Watch",
    summary: "show resource use and the job's own metrics over time",
    load: async () => (await import("./commands/metrics.ts")).metrics,
  },
  wait: {
    group: "Watch",
    summary: "wait until a job ends, then exit with the code `belay run` would have used",
    load: async () => (await import("./commands/wait.ts")).wait,
  },
  cancel: {
    group: "Control",
    summary: "end a job and all its processes",
    load: async () => (await import("./commands/cancel.ts")).cancel,
  },
  signal: {
    group: "Control",
    summary: "send a signal to a job's processes",
    load: async () => (await import("./commands/signal.ts")).signal,
  },
  pause: {
    group: "Control",
    summary: "freeze a job's processes",
    load: async () => (await import("./commands/pause.ts")).pause,
  },
  resume: {
    group: "Control",
    summary: "continue a paused job",
    load: async () => (await import("./commands/pause.ts")).resume,
  },
  tracker: {
    group: "Set up",
    summary: "run the server: stores jobs, logs and metrics, and relays commands to agents",
    load: async () => (await import("./commands/tracker.ts")).tracker,
  },
  check: {
    group: "Set up",
    summary: "verify a tracker's data directory, and repair it",
    load: async () => (await import("./commands/check.ts")).check,
  },
  config: {
    group: "Set up",
    summary: "save default connection flags",
    load: async () => (await import("./commands/config.ts")).config,
  },
  completion: {
    group: "Set up",
    summary: "complete commands, flags and job ids in bash, zsh or fish",
    load: async () => (await import("./commands/completion.ts")).completion,
  },
  demo: {
    group: "Set up",
    summary: `watch a tracker, an agent and two small jobs work, in ${DEMO_TIME}`,
    load: async () => (await import("./commands/demo.ts")).demo,
  },
};

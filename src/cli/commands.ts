import type { Command } from "./flags/command.ts";

/** Where a command stands in the overview, and how to load it. Loading one must not load the others. */
export interface CommandEntry {
  readonly summary: string;
  readonly load: () => Promise<Command>;
}

/** All commands, in the order of the overview. */
export const COMMANDS: Readonly<Record<string, CommandEntry>> = {
  demo: {
    summary: "watch a tracker, an agent and two small jobs work, in 15 seconds",
    load: async () => (await import("./commands/demo.ts")).demo,
  },
  run: { summary: "run one job under an agent", load: async () => (await import("./commands/run.ts")).run },
  tracker: {
    summary: "record jobs and pass orders to agents: the server",
    load: async () => (await import("./commands/tracker.ts")).tracker,
  },
  token: {
    summary: "make a token for the agent of one job",
    load: async () => (await import("./commands/token.ts")).token,
  },
  submit: {
    summary: "record a job for an agent to come",
    load: async () => (await import("./commands/submit.ts")).submit,
  },
  jobs: { summary: "list jobs", load: async () => (await import("./commands/jobs.ts")).jobs },
  top: {
    summary: "watch jobs at work, over the whole terminal",
    load: async () => (await import("./commands/top.ts")).top,
  },
  show: {
    summary: "show all that is known of a job",
    load: async () => (await import("./commands/show.ts")).show,
  },
  status: {
    summary: "ask a job's agent how it stands, now",
    load: async () => (await import("./commands/status.ts")).status,
  },
  logs: { summary: "print a job's output", load: async () => (await import("./commands/logs.ts")).logs },
  metrics: {
    summary: "show what a job uses and what it says of itself, over time",
    load: async () => (await import("./commands/metrics.ts")).metrics,
  },
  cancel: {
    summary: "end a job, completely",
    load: async () => (await import("./commands/cancel.ts")).cancel,
  },
  signal: {
    summary: "send a signal to a job's processes",
    load: async () => (await import("./commands/signal.ts")).signal,
  },
  pause: {
    summary: "stop a job's processes for now",
    load: async () => (await import("./commands/pause.ts")).pause,
  },
  resume: {
    summary: "let a paused job go on",
    load: async () => (await import("./commands/pause.ts")).resume,
  },
  config: {
    summary: "keep the tracker's address, so that it need not be repeated",
    load: async () => (await import("./commands/config.ts")).config,
  },
  completion: {
    summary: "let bash, zsh or fish complete commands, flags and job ids",
    load: async () => (await import("./commands/completion.ts")).completion,
  },
  wait: {
    summary: "wait for a job's end and exit as it did",
    load: async () => (await import("./commands/wait.ts")).wait,
  },
  flush: {
    summary: "deliver what a dead agent left in its spool directory",
    load: async () => (await import("./commands/flush.ts")).flush,
  },
};

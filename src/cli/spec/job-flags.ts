import type { Flag, Grouped } from "../flags/flags.ts";
import type { AttemptFlags } from "./attempt-flags.ts";
import { attemptFlags } from "./attempt-flags.ts";
import type { StallFlags } from "./stall-flags.ts";
import { stallFlags } from "./stall-flags.ts";
import { duration, grouped, isKey, many, pairs, size, text, toggle, wanted } from "../flags/flags.ts";

/** Flags that describe the job: the fields of a JobSpec. */
export type JobFlags = AttemptFlags &
  StallFlags &
  Grouped<{
    spec: Flag<string | undefined>;
    name: Flag<string | undefined>;
    label: Flag<readonly (readonly [string, string])[]>;
    setup: Flag<readonly string[]>;
    after: Flag<readonly string[]>;
    cwd: Flag<string | undefined>;
    env: Flag<readonly string[]>;
    envFile: Flag<readonly string[]>;
    timeout: Flag<number | undefined>;
    setupTimeout: Flag<number | undefined>;
    grace: Flag<number | undefined>;
    stopSignal: Flag<string | undefined>;
    warnSignal: Flag<string | undefined>;
    warnPeriod: Flag<number | undefined>;
    metricsInterval: Flag<number | undefined>;
    keepDescendants: Flag<boolean>;
    redactEnv: Flag<readonly string[]>;
    noRedactEnv: Flag<readonly string[]>;
    logLimit: Flag<number | undefined>;
    memoryLimit: Flag<number | undefined>;
  }>;

function shellCommand(given: string, what: string): string {
  if (given.trim() === "") throw wanted(what, given, "a shell command");
  return given;
}

/** See JobFlags. */
export const jobFlags: JobFlags = {
  ...grouped("Job", {
    spec: text({ value: "FILE", help: "job spec in YAML or JSON; - reads standard input; other flags win over it" }),
    name: text({ variable: false, help: "name of the job, for users" }),
    label: pairs({ separator: ",", help: "label to filter by" }),
    setup: many(
      { value: "SHELL COMMAND", separator: "", help: "step to run with sh -c before the command" },
      shellCommand,
    ),
    after: many(
      {
        value: "SHELL COMMAND",
        separator: "",
        help: "step to run with sh -c after the command, however it ended; conditions and time limits: in a --spec file",
      },
      shellCommand,
    ),
    cwd: text({ value: "DIR", help: "directory to run in", defaultText: "the agent's" }),
    env: many(
      {
        value: "KEY[=VALUE]",
        separator: "\n",
        help: "environment variable for the job; without =VALUE, with the value that it has here",
      },
      (given, what) => {
        if (!/^[^=]+(=|$)/s.test(given) || !isKey(given.replace(/=.*$/s, ""))) {
          throw wanted(what, given, "KEY=VALUE or KEY");
        }
        return given;
      },
    ),
    envFile: many(
      {
        value: "FILE",
        separator: ",",
        help: "file with KEY=VALUE lines for the job's environment; may be a pipe or /dev/stdin",
      },
      (given) => given,
    ),
    timeout: duration({ help: "time limit of the command, which is ended when it passes" }),
    setupTimeout: duration({ help: "time limit of all setup steps together" }),
    grace: duration({ help: "time between stop signal and SIGKILL", defaultText: "10s" }),
    stopSignal: text({ value: "NAME", help: "signal that asks the job to end", defaultText: "SIGTERM" }),
    warnSignal: text({
      value: "NAME",
      help: "signal that announces an end, such as USR1: sent before the time limit is reached, and before the stop signal",
    }),
    warnPeriod: duration({ help: "time between that and the stop signal", defaultText: "30s" }),
    metricsInterval: duration({ help: "time between two metric samples", defaultText: "5s" }),
    keepDescendants: toggle({ help: "do not end processes that are still running when the command has ended" }),
    redactEnv: many(
      {
        value: "NAME",
        separator: ",",
        help: "variable whose value is removed from the log, in addition to those whose names look secret",
      },
      (given) => given,
    ),
    noRedactEnv: many(
      { value: "NAME", separator: ",", help: "variable whose value stays in the log although its name looks secret" },
      (given) => given,
    ),
    logLimit: size({ help: "keep at most this much output; discard the rest", defaultText: "no limit" }),
    memoryLimit: size({ help: "memory limit of all processes of the job together, where a cgroup can enforce it" }),
  }),
  ...stallFlags,
  ...attemptFlags,
};

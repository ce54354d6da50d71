import type { Flag } from "../flags/flags.ts";
import { duration, grouped, isKey, many, pairs, size, text, toggle, wanted } from "../flags/flags.ts";

/** Flags that say what is run: the fields of a JobSpec. */
export type JobFlags = {
  spec: Flag<string | undefined>;
  name: Flag<string | undefined>;
  label: Flag<readonly (readonly [string, string])[]>;
  setup: Flag<readonly string[]>;
  cwd: Flag<string | undefined>;
  env: Flag<readonly string[]>;
  envFile: Flag<readonly string[]>;
  timeout: Flag<number | undefined>;
  setupTimeout: Flag<number | undefined>;
  grace: Flag<number | undefined>;
  stopSignal: Flag<string | undefined>;
  metricsInterval: Flag<number | undefined>;
  keepDescendants: Flag<boolean>;
  redactEnv: Flag<readonly string[]>;
  noRedactEnv: Flag<readonly string[]>;
  logLimit: Flag<number | undefined>;
  memoryLimit: Flag<number | undefined>;
};

/** See JobFlags. */
export const jobFlags: JobFlags = grouped("The job:", {
  spec: text({ value: "FILE", help: "job spec in YAML or JSON; - reads standard input; other flags win over it" }),
  name: text({ help: "name for people" }),
  label: pairs({ separator: ",", help: "label to filter by" }),
  setup: many(
    { value: "SHELL COMMAND", separator: "", help: "step to run with sh -c before the command" },
    (given, what) => {
      if (given.trim() === "") throw wanted(what, given, "a shell command");
      return given;
    },
  ),
  cwd: text({ value: "DIR", help: "directory to run in; default: the agent's" }),
  env: many(
    { value: "KEY[=VALUE]", separator: "\n", help: "variable for the job; without =VALUE, the value it has here" },
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
      help: "file with KEY=VALUE lines for the job's environment; a pipe or /dev/stdin will do",
    },
    (given) => given,
  ),
  timeout: duration({ help: "longest time for the command; then it is ended" }),
  setupTimeout: duration({ help: "longest time for all setup steps together" }),
  grace: duration({ help: "time between stop signal and SIGKILL; default 10s" }),
  stopSignal: text({ value: "NAME", help: "signal that asks the job to end; default SIGTERM" }),
  metricsInterval: duration({ help: "time between two metric samples; default 5s" }),
  keepDescendants: toggle({ help: "leave processes running that the command left behind" }),
  redactEnv: many(
    {
      value: "NAME",
      separator: ",",
      help: "variable whose value is removed from the log, besides those that look secret",
    },
    (given) => given,
  ),
  noRedactEnv: many(
    { value: "NAME", separator: ",", help: "variable whose value is not removed from the log, though it looks secret" },
    (given) => given,
  ),
  logLimit: size({ help: "most output that is kept; later output is read and thrown away; default: no limit" }),
  memoryLimit: size({ help: "memory for all processes of the job together, where a cgroup can hold it" }),
});

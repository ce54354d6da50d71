import fs from "node:fs";
import { resolve } from "node:path";
import { pathOfText } from "../../base/text/system-text.ts";
import { type SpawnFailure, SpawnFailureKind } from "../../gen/belay/v1/job_pb.ts";
import type { Evidence, Hint } from "./evidence.ts";

/** The command could not be started. */
export const startHint: Hint = (evidence) => {
  const failure = evidence.result.spawnFailure;
  return failure === undefined ? undefined : HINTS[failure.kind]?.(evidence, failure);
};

const HINTS: Readonly<Record<number, (evidence: Evidence, failure: SpawnFailure) => string>> = {
  [SpawnFailureKind.NOT_FOUND]: notFound,
  [SpawnFailureKind.NOT_EXECUTABLE]: (evidence, { path }) => {
    if (isDirectory(evidence, path)) return `${evidence.quote(path)} is a directory: give the path of a program in it`;
    const file = evidence.shorten(path);
    return `Allow its execution (chmod +x ${file}), or run it by its interpreter, as in: sh ${file}`;
  },
  [SpawnFailureKind.BAD_FORMAT]: badFormat,
  [SpawnFailureKind.BAD_WORKING_DIRECTORY]: () =>
    "The directory must be there, on the machine of the agent, before the first step starts: make it, or give another one with --cwd",
  [SpawnFailureKind.ARGUMENTS_TOO_LONG]: () =>
    "Pass the data in a file: the kernel limits the length of arguments and variables, and of all together",
  [SpawnFailureKind.NO_RESOURCES]: () =>
    "The machine lacked what one more process needs; the job itself did nothing wrong and may be run again elsewhere",
};

function notFound(evidence: Evidence, { path }: SpawnFailure): string {
  const { spec } = evidence.known;
  const name = evidence.quote(path);
  if (path === spec.command[0] && spec.command.length === 1 && /\s/.test(path)) {
    return `${name} is taken as the name of one program, since no shell reads it: give program and arguments as separate words, or run sh -c with it`;
  }
  if (path.startsWith("/")) return `${name} must be there on the machine of the agent, or in its container`;
  const directory = evidence.quote(workingDirectory(evidence));
  if (path.includes("/"))
    return `A relative path starts at the job's working directory, ${directory}: check it and --cwd`;
  if (fs.existsSync(pathOfText(resolve(workingDirectory(evidence), path)))) {
    return `A file of that name is in the working directory, which is not searched: run it as ./${evidence.shorten(path)}`;
  }
  return "Install it on the machine of the agent, add its directory to the job's PATH, or give the program with its directory";
}

function badFormat(evidence: Evidence, { path, errno }: SpawnFailure): string {
  const file = evidence.shorten(path);
  const { message } = evidence.result;
  if (message.includes('\\r"')) {
    return `The lines of the script end as on Windows, with CR LF: convert it, as with: sed -i 's/\\r$//' ${file}`;
  }
  if (message.includes("its interpreter"))
    return "Install that interpreter, or name another one in the script's first line";
  if (message.includes("its loader")) {
    return "The program was built for a C library that this machine or container does not have: use one that was built for it";
  }
  if (message.includes("another processor")) return `Use a program that was built for this processor, ${process.arch}`;
  return errno === "ENOEXEC"
    ? `If it is a script, begin it with a line such as #!/bin/sh, or run it by its interpreter, as in: sh ${file}`
    : "The file is there, and this machine cannot run it";
}

function workingDirectory({ known }: Evidence): string {
  try {
    return resolve(known.spec.workingDirectory);
  } catch {
    // The agent's own directory was deleted.
    return known.spec.workingDirectory;
  }
}

function isDirectory(evidence: Evidence, path: string): boolean {
  try {
    return fs.statSync(pathOfText(resolve(workingDirectory(evidence), path))).isDirectory();
  } catch {
    return false;
  }
}

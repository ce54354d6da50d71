import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { afterAll, describe, expect, it } from "vitest";
import { makeCard } from "../../../src/agent/card/card.ts";
import type { OwnEnd } from "../../../src/agent/job/types.ts";
import {
  EndReason,
  type FailureCard,
  FailureCardSchema,
  JobResultSchema,
  JobSpecSchema,
  LogStream,
  Outcome,
  SpawnFailureKind,
  StallAction,
} from "../../../src/gen/belay/v1/job_pb.ts";

const MiB = 1 << 20;
const directory = mkdtempSync(join(tmpdir(), "belay-card-"));
writeFileSync(join(directory, "train.sh"), "true\n");
afterAll(() => rmSync(directory, { recursive: true }));

interface Case {
  readonly result: MessageInitShape<typeof JobResultSchema>;
  readonly command?: readonly string[];
  readonly spec?: MessageInitShape<typeof JobSpecSchema>;
  readonly tail?: string;
  readonly memoryLimit?: number;
  readonly own?: Partial<OwnEnd>;
}

/** A main command that ended by itself, unless the case says otherwise. */
function cardOf({
  result,
  command = ["python3", "train.py"],
  spec = {},
  tail = "",
  memoryLimit = 0,
  own,
}: Case): FailureCard {
  const ownEnd: OwnEnd = { pid: 4711, oomKills: 0, oomIsCounted: true, sentBy: undefined, ...own };
  return makeCard(
    {
      jobId: "j1",
      spec: create(JobSpecSchema, { command: [...command], ...spec }),
      result: create(JobResultSchema, { outcome: Outcome.FAILED, step: (spec.setup?.length ?? 0) + 1, ...result }),
      memoryLimit,
      ownEnd,
      withoutSecrets: (text) => text.replaceAll("hunter2", "***"),
    },
    tail === "" ? undefined : { stream: LogStream.STDERR, bytes: Buffer.from(tail) },
  );
}

const { EXITED, SIGNALED, OOM_KILLED, SPAWN_FAILED, SETUP_FAILED, TIMED_OUT, STALLED } = EndReason;
const TRACEBACK = `Traceback (most recent call last):
  File "/srv/train.py", line 3, in <module>
    main()
    ~~~~^^
  File "/srv/train.py", line 2, in main
    raise ValueError("bad data")
`;
const exited = (exitCode: number): Case["result"] => ({ reason: EXITED, exitCode });
const signaled = (signal: string): Case["result"] => ({ reason: SIGNALED, signal });
const notStarted = (kind: SpawnFailureKind, path: string, message = "", errno = "ENOENT"): Case["result"] => ({
  reason: SPAWN_FAILED,
  step: 0,
  message,
  spawnFailure: { kind, path, errno },
});
const sh = (script = "true"): string[] => ["/bin/sh", "-c", script];

/** Evidence, and the sentence that it allows. */
const HINTS: readonly (readonly [string, Case, string])[] = [
  [
    "SIGSEGV",
    { result: signaled("SIGSEGV"), command: ["./train"] },
    "SIGSEGV means that native code accessed memory that is not its own, in the program or in a library that it loaded",
  ],
  [
    "SIGSEGV of Python",
    { result: signaled("SIGSEGV"), command: ["/usr/bin/python3.12", "train.py"] },
    "SIGSEGV means that native code accessed memory that is not its own, in the program or in a library that it loaded; with PYTHONFAULTHANDLER=1 in its environment, Python prints where",
  ],
  [
    "SIGSEGV of a shell's child",
    { result: exited(139), command: sh(), tail: "Segmentation fault\n" },
    "Shells report exit code 139 for a program that SIGSEGV ended: native code accessed memory that is not its own, in the program or in a library that it loaded",
  ],
  ["exit code 139 of a program that is no shell", { result: exited(139), tail: "x\n" }, ""],
  [
    "SIGKILL from outside, where the kernel's kills are counted",
    { result: signaled("SIGKILL") },
    "Something outside of Belay sent SIGKILL: a user, a scheduler, or the job itself; the kernel did not kill it for want of memory",
  ],
  [
    "SIGKILL from outside, where they are not",
    { result: signaled("SIGKILL"), own: { oomKills: undefined, oomIsCounted: false } },
    "Something outside of Belay sent SIGKILL: a user, a scheduler, the job itself, or the kernel for want of memory, which is not counted here but is in its log (dmesg)",
  ],
  [
    "the warning before a time-out, which nothing handles",
    { result: signaled("SIGUSR1"), own: { sentBy: "warning" } },
    "The job does not handle SIGUSR1: have it save its work on that signal, or give another --warn-signal",
  ],
  ["SIGKILL by a signal command", { result: signaled("SIGKILL"), own: { sentBy: "command" } }, ""],
  [
    "SIGTERM from outside",
    { result: signaled("SIGTERM") },
    "Something outside of Belay sent SIGTERM: a user, a scheduler, or the job itself",
  ],
  [
    "the limit of processor time",
    { result: signaled("SIGXCPU") },
    "SIGXCPU means that its limit of processor time (ulimit -t) was used up",
  ],
  [
    "out of memory by its own limit",
    {
      result: { reason: OOM_KILLED, signal: "SIGKILL" },
      spec: { memoryLimitBytes: BigInt(64 * MiB) },
      memoryLimit: 64 * MiB,
      own: { oomKills: 1 },
    },
    "The job needed more memory than its limit of 64.0 MiB: raise --memory-limit, or have it use less",
  ],
  [
    "out of memory by a container's limit",
    { result: { reason: OOM_KILLED, signal: "SIGKILL" }, memoryLimit: 512 * MiB, own: { oomKills: 2 } },
    "The job needed more memory than the cgroup that it runs in allows, 512.0 MiB: raise that limit, or have it use less",
  ],
  [
    "out of memory in the agent's cgroup",
    { result: { reason: OOM_KILLED, signal: "SIGKILL" }, memoryLimit: 512 * MiB, own: { oomKills: undefined } },
    "Agent and job together needed more memory than their cgroup has, which allows 512.0 MiB: raise its limit, or have the job use less",
  ],
  [
    "a traceback of Python",
    { result: exited(1), tail: `loading\n${TRACEBACK}ValueError: bad data\n` },
    "Python raised ValueError: bad data",
  ],
  [
    "a traceback whose beginning is beyond the tail",
    { result: exited(1), command: sh(), tail: `${TRACEBACK.split("\n").slice(4).join("\n")}torch.Error: a\n  b\n` },
    "Python raised torch.Error: a",
  ],
  [
    "a module that is missing",
    { result: exited(1), tail: `${TRACEBACK}ModuleNotFoundError: No module named 'numpy'\n` },
    "Python raised ModuleNotFoundError: No module named 'numpy'; install it for the Python that the job runs",
  ],
  [
    "a traceback that the job survived",
    { result: exited(3), tail: `${TRACEBACK}ValueError: bad data\n${"retrying\n".repeat(4)}` },
    "",
  ],
  [
    "a full disk, before the traceback that names it",
    { result: exited(1), tail: `${TRACEBACK}OSError: [Errno 28] No space left on device: 'a'\n` },
    `A file system had no space left: "OSError: [Errno 28] No space left on device: 'a'"`,
  ],
  [
    "a graphics processor without memory",
    { result: exited(1), tail: `${TRACEBACK}torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB\n` },
    'The graphics processor had no memory left: use a smaller batch or model, or a device with more: "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB"',
  ],
  ...(
    [
      ["sh: 1: trian: not found", "trian"],
      ["bash: line 1: trian: command not found", "trian"],
      ["zsh:1: command not found: trian", "trian"],
      ["bash: line 1: ./trian: No such file or directory", "./trian"],
    ] as const
  ).map(
    ([line, name]) =>
      [
        line,
        { result: exited(127), command: ["bash", "-c", "x"], tail: `${line}\n` },
        `The shell did not find "${name}": install it on the machine of the agent, or check the path and PATH`,
      ] as const,
  ),
  [
    "a shell that may not execute a command",
    { result: exited(126), command: sh(), tail: "sh: 1: ./a: Permission denied\n" },
    "The shell found a command that it could not execute: check its permissions, and that it is a program for this machine",
  ],
  [
    "nothing printed",
    { result: exited(1) },
    "The command printed nothing: options for more output, such as --verbose, or set -x in a script, may show why",
  ],
  ["a program's own words", { result: exited(2), tail: "usage: train.py [-h]\n" }, ""],
  [
    "a setup step",
    {
      result: { reason: SETUP_FAILED, exitCode: 1, step: 2 },
      spec: { setup: [{ run: "a" }, { run: "npm ci\nnpm x" }] },
      tail: "npm error\n",
    },
    'Setup step 2 "npm ci" failed, so the main command was not run',
  ],
  [
    "a setup step whose command is missing",
    {
      result: { reason: SETUP_FAILED, exitCode: 127, step: 1 },
      spec: { setup: [{ run: "npm ci" }] },
      tail: "/bin/sh: 1: npm: not found\n",
    },
    'The shell did not find "npm": install it on the machine of the agent, or check the path and PATH',
  ],
  [
    "the time-out",
    {
      result: { reason: TIMED_OUT, signal: "SIGTERM" },
      spec: { timeout: durationFromMs(90_000) },
      tail: "epoch 1\nepoch 2\n",
    },
    'The last line that it printed is "epoch 2"; raise --timeout (1m 30s) if the work needs longer',
  ],
  [
    "the time-out of setup",
    { result: { reason: TIMED_OUT, step: 1 }, spec: { setup: [{ run: "a" }], setupTimeout: durationFromMs(5000) } },
    "It had printed nothing; raise --setup-timeout (5.0s) if the work needs longer",
  ],
  [
    "a stall",
    { result: { reason: STALLED }, spec: { stall: { action: StallAction.END } }, tail: "epoch 2\n" },
    'The last line that it printed is "epoch 2"; its processes, and what each waited for, are in the log: belay logs --stream agent j1',
  ],
  [
    "a cancel",
    { result: { outcome: Outcome.CANCELED, reason: EndReason.CANCELED, signal: "SIGTERM" }, tail: "x\n" },
    "",
  ],
  [
    "a program that is not on PATH",
    { result: notStarted(SpawnFailureKind.NOT_FOUND, "trian"), command: ["trian"] },
    "Install it on the machine of the agent, add its directory to the job's PATH, or give the program with its directory",
  ],
  [
    "a program of the working directory",
    {
      result: notStarted(SpawnFailureKind.NOT_FOUND, "train.sh"),
      command: ["train.sh"],
      spec: { workingDirectory: directory },
    },
    "A file of that name is in the working directory, which is not searched: run it as ./train.sh",
  ],
  [
    "a whole command line as one word",
    { result: notStarted(SpawnFailureKind.NOT_FOUND, "python train.py"), command: ["python train.py"] },
    '"python train.py" is taken as the name of one program, since no shell reads it: give program and arguments as separate words, or run sh -c with it',
  ],
  [
    "a relative path",
    { result: notStarted(SpawnFailureKind.NOT_FOUND, "./trian.sh"), spec: { workingDirectory: directory } },
    `A relative path starts at the job's working directory, "${directory}": check it and --cwd`,
  ],
  [
    "an absolute path",
    { result: notStarted(SpawnFailureKind.NOT_FOUND, "/opt/train") },
    '"/opt/train" must be there on the machine of the agent, or in its container',
  ],
  [
    "a file that may not be executed",
    { result: notStarted(SpawnFailureKind.NOT_EXECUTABLE, "./train.sh"), spec: { workingDirectory: directory } },
    "Allow its execution (chmod +x ./train.sh), or run it by its interpreter, as in: sh ./train.sh",
  ],
  [
    "a directory",
    { result: notStarted(SpawnFailureKind.NOT_EXECUTABLE, directory) },
    `"${directory}" is a directory: give the path of a program in it`,
  ],
  [
    "a script with line ends of Windows",
    {
      result: notStarted(
        SpawnFailureKind.BAD_FORMAT,
        "./a.sh",
        'Cannot start "./a.sh": its interpreter "/bin/sh\\r" does not exist (ENOENT)',
      ),
    },
    "The lines of the script end as on Windows, with CR LF: convert it, as with: sed -i 's/\\r$//' ./a.sh",
  ],
  [
    "a script whose interpreter is missing",
    {
      result: notStarted(
        SpawnFailureKind.BAD_FORMAT,
        "./a.sh",
        'Cannot start "./a.sh": its interpreter "/bin/fish" does not exist (ENOENT)',
      ),
    },
    "Install that interpreter, or name another one in the script's first line",
  ],
  [
    "a text without an interpreter",
    {
      result: notStarted(
        SpawnFailureKind.BAD_FORMAT,
        "./a.sh",
        "it is neither a program of this machine nor",
        "ENOEXEC",
      ),
    },
    "If it is a script, begin it with a line such as #!/bin/sh, or run it by its interpreter, as in: sh ./a.sh",
  ],
  [
    "a working directory that is missing",
    { result: notStarted(SpawnFailureKind.BAD_WORKING_DIRECTORY, "/srv/x") },
    "The directory must be there, on the machine of the agent, before the first step starts: make it, or give another one with --cwd",
  ],
  [
    "a machine without processes",
    { result: notStarted(SpawnFailureKind.NO_RESOURCES, "true", "", "EAGAIN") },
    "The machine lacked what one more process needs; the job itself did nothing wrong and may be run again elsewhere",
  ],
];

describe("The hint of a failure card", () => {
  it.for(HINTS)("for %s", ([, given, sentence]) => {
    expect(cardOf(given).hint).toBe(sentence);
  });

  it("is one line without secrets, also where it shortens what it quotes", () => {
    const word = `${"x".repeat(197)}hunter2${"y".repeat(500)}`;
    const { hint } = cardOf({ result: exited(1), tail: `No space left on device \u001b[31m${word}\n` });
    expect(hint).not.toContain("hunter");
    expect(hint).toMatch(/^[\u0020-\u007e…]+$/);
    expect(hint.length).toBeLessThan(400);
  });
});

describe("A failure card", () => {
  it("has the peak beside the limit, and the process that the kernel killed where that is known", () => {
    const result = { reason: OOM_KILLED, signal: "SIGKILL", usage: { peakMemoryBytes: 67_000_000n } };
    const card = cardOf({ result, memoryLimit: 64 * MiB, own: { oomKills: 1 } });
    expect(card).toMatchObject({
      peakMemoryBytes: 67_000_000n,
      memoryLimitBytes: BigInt(64 * MiB),
      killed: "python3 (pid 4711)",
    });
    expect(cardOf({ result, own: { oomKills: 3 } }).killed).toBe("python3 (pid 4711) and 2 more");
    expect(cardOf({ result, own: { oomKills: undefined } }).killed).toBe("");
    expect(cardOf({ result: { reason: OOM_KILLED, exitCode: 4 }, own: { oomKills: 1 } }).killed).toBe("");
  });

  it("has at most 8 KiB, whatever the job's texts are", () => {
    const long = "é".repeat(4000);
    const card = cardOf({
      result: { reason: SETUP_FAILED, exitCode: 1, step: 1 },
      spec: { setup: [{ name: long, run: long }] },
      command: [long],
      tail: "é".repeat(2048),
    });
    expect(toBinary(FailureCardSchema, card).length).toBeLessThan(8192);
  });
});

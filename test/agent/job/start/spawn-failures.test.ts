import fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { EndReason, Outcome, SpawnFailureKind } from "../../../../src/gen/belay/v1/job_pb.ts";
import { LOCAL_MODES, start } from "../local.ts";

const directory = fs.mkdtempSync(join(tmpdir(), "spawn-failures-"));
const file = (name: string, content: string | Buffer, mode = 0o755): string => {
  const path = join(directory, name);
  fs.writeFileSync(path, content);
  fs.chmodSync(path, mode);
  return path;
};
const foreign = Buffer.from(fs.readFileSync("/bin/true").subarray(0, 4096));
foreign.writeUInt16LE(8, 18);

const { NOT_FOUND, NOT_EXECUTABLE, BAD_FORMAT, BAD_WORKING_DIRECTORY, ARGUMENTS_TOO_LONG } = SpawnFailureKind;
const ROWS: [string, { command: string[]; workingDirectory?: string }, SpawnFailureKind, string, string][] = [
  ["no such file", { command: ["/no/such"] }, NOT_FOUND, "/no/such", "ENOENT"],
  ["nothing of that name on PATH", { command: ["no-such-program"] }, NOT_FOUND, "no-such-program", "ENOENT"],
  ["a path through a file", { command: ["/etc/passwd/x"] }, NOT_FOUND, "/etc/passwd/x", "ENOTDIR"],
  ["a file without x", { command: [file("plain", "#!/bin/sh\n", 0o644)] }, NOT_EXECUTABLE, "plain", "EACCES"],
  ["a directory", { command: [directory] }, NOT_EXECUTABLE, directory, "EACCES"],
  ["a text without #!", { command: [file("text", "echo hi\n")] }, BAD_FORMAT, "text", "ENOEXEC"],
  ["an empty file", { command: [file("empty", "")] }, BAD_FORMAT, "empty", "ENOEXEC"],
  ["another processor's program", { command: [file("foreign", foreign)] }, BAD_FORMAT, "foreign", "ENOEXEC"],
  ["a missing interpreter", { command: [file("interp", "#!/no/interp -x\n")] }, BAD_FORMAT, "interp", "ENOENT"],
  ["Windows line ends", { command: [file("crlf", "#!/bin/sh\r\necho\r\n")] }, BAD_FORMAT, "crlf", "ENOENT"],
  ["no such directory", { command: ["true"], workingDirectory: "/no/dir" }, BAD_WORKING_DIRECTORY, "/no/dir", "ENOENT"],
  [
    "a file as directory",
    { command: ["true"], workingDirectory: "/etc/passwd" },
    BAD_WORKING_DIRECTORY,
    "/etc/passwd",
    "ENOTDIR",
  ],
  ["too long an argument", { command: ["true", "x".repeat(200_000)] }, ARGUMENTS_TOO_LONG, "true", "E2BIG"],
];

afterAll(() => fs.rmSync(directory, { recursive: true, force: true }));

describe.for(LOCAL_MODES)("A command that cannot be started, held by a %s", (containment) => {
  it.for(ROWS)("is explained: %s", async ([, spec, kind, path, errno]) => {
    const { result, events } = start(spec, { containment });
    const ended = await result;
    expect(ended).toMatchObject({
      outcome: Outcome.FAILED,
      reason: EndReason.SPAWN_FAILED,
      spawnFailure: { kind, errno },
    });
    expect(ended.spawnFailure?.path).toContain(path);
    expect(ended.message).toContain(path);
    expect(ended.message).toContain(errno);
    expect(ended.exitCode).toBeUndefined();
    expect(ended.usage).toBeUndefined();
    expect(events).toEqual([]);
  });

  it("fails the setup when it is a setup step's shell", async () => {
    const { result } = start(
      { setup: [{ run: "true" }], command: ["true"], workingDirectory: "/no/dir" },
      { containment },
    );
    expect(await result).toMatchObject({
      reason: EndReason.SETUP_FAILED,
      step: 1,
      spawnFailure: { kind: BAD_WORKING_DIRECTORY, path: "/no/dir" },
    });
  });

  it("is searched for in the next directory of PATH", async () => {
    file("true", "", 0o644);
    const { result } = start({ command: ["true"], environment: { PATH: `${directory}:/bin` } }, { containment });
    expect(await result).toMatchObject({ outcome: Outcome.SUCCEEDED });
  });

  it("is searched for on the job's own PATH, from the job's own directory", async () => {
    file("own-program", "#!/bin/sh\necho $0 $PWD\n");
    const spec = { workingDirectory: directory, environment: { PATH: ".:/bin" } };
    const { result, stdout } = start({ command: ["own-program"], ...spec }, { containment });
    expect(await result).toMatchObject({ outcome: Outcome.SUCCEEDED });
    expect(stdout().toString()).toBe(`./own-program ${directory}\n`);
  });
});

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { afterAll, afterEach, beforeEach, describe, expect, it } from "vitest";
import { runAgent } from "../../src/agent/run.ts";
import { EndReason, type JobResult, JobSpecSchema, LogStream } from "../../src/gen/belay/v1/job_pb.ts";
import { ScriptedTracker } from "../helpers/scripted-tracker.ts";

let tracker: ScriptedTracker;
beforeEach(async () => {
  tracker = await ScriptedTracker.start();
});
afterEach(() => tracker.close());

/** Programs that cannot be started, each for its own reason. */
const programs = mkdtempSync(join(tmpdir(), "belay-card-"));
function program(name: string, text: string): string {
  writeFileSync(join(programs, name), text, { mode: name.startsWith("plain") ? 0o644 : 0o755 });
  return `./${name}`;
}
afterAll(() => rmSync(programs, { recursive: true }));

/** The result as the tracker receives it. */
async function resultOf(script: string, spec: MessageInitShape<typeof JobSpecSchema> = {}): Promise<JobResult> {
  const outcome = runAgent({
    tracker: tracker.url,
    jobId: "j1",
    spec: create(JobSpecSchema, { command: ["sh", "-c", script], ...spec }),
    connectTimeout: 5000,
    flushTimeout: 5000,
  });
  const stream = await tracker.stream();
  stream.welcome();
  stream.behave();
  await outcome;
  for (const payload of stream.received) {
    if (payload.case === "event" && payload.value.kind.case === "result") return payload.value.kind.value;
  }
  throw new Error("The tracker has received no result");
}

const tailOf = ({ card }: JobResult): string => Buffer.from(card?.tail ?? []).toString();

describe("The card of a result", () => {
  it("is absent when the job succeeds", async () => {
    expect((await resultOf("echo fine")).card).toBeUndefined();
  });

  it("has no part of a secret that the window of the tail cuts", async () => {
    const result = await resultOf(
      `i=0; while [ $i -lt 400 ]; do printf %s "$API_TOKEN" >&2; i=$((i + 1)); done; exit 1`,
      {
        environment: { API_TOKEN: "abcdefghijklmnopqrstuvwxyz" },
      },
    );
    expect(tailOf(result)).toMatch(/^\*+$/);
    expect(result.card?.tailStream).toBe(LogStream.STDERR);
  });

  it("has the end of the output also where the log's limit has cut it", async () => {
    const result = await resultOf("seq 100000; echo the end; exit 3", { logLimitBytes: 1000n });
    expect(tailOf(result)).toMatch(/^\d+\n(\d+\n)+the end\n$/);
    expect(result.card?.tailStream).toBe(LogStream.STDOUT);
  });

  it("has what the processes that a signal ended wrote last", async () => {
    const script = 'trap "echo saving >&2; exit 7" TERM; while :; do sleep 0.05; done';
    const result = await resultOf(script, { timeout: { nanos: 300_000_000 } });
    expect(result).toMatchObject({ reason: EndReason.TIMED_OUT, exitCode: 7 });
    expect(tailOf(result)).toMatch(/saving\n$/);
  });

  it("is of the setup step that failed", async () => {
    const result = await resultOf("true", { setup: [{ run: "echo one >&2" }, { run: "echo two >&2; exit 5" }] });
    expect(tailOf(result)).toBe("two\n");
    expect(result.card?.hint).toBe('Setup step 2 "echo two >&2; exit 5" failed, so the main command was not run');
  });

  it.for([
    [
      program("windows", "#!/bin/sh\r\necho\r\n"),
      /^The lines of the script end as on Windows, with CR LF: .* \.\/windows$/,
    ],
    [
      program("windows-python", "#!/usr/bin/env python3\r\n"),
      /^The lines of the script end as on Windows, with CR LF: /,
    ],
    [program("no-interpreter", "#!/opt/no/such\n"), /^Install that interpreter, or name another one /],
    [program("text", "echo\n"), /^If it is a script, begin it with a line such as #!\/bin\/sh, .*: sh \.\/text$/],
    [
      program("plain.sh", "#!/bin/sh\n"),
      /^Allow its execution \(chmod \+x \.\/plain\.sh\), or run it by its interpreter/,
    ],
    ["./", /^"\.\/" is a directory: give the path of a program in it$/],
    [
      "./none",
      new RegExp(`^A relative path starts at the job's working directory, "${programs}": check it and --cwd$`),
    ],
    ["plain.sh", /^A file of that name is in the working directory, which is not searched: run it as \.\/plain\.sh$/],
  ] as const)("knows why %s cannot be started", async ([command, hint]) => {
    const result = await resultOf("", { command: [command, "x"], workingDirectory: programs });
    expect(result.reason).toBe(EndReason.SPAWN_FAILED);
    expect(result.card?.hint).toMatch(hint);
  });

  it("names the directory's absence", async () => {
    const result = await resultOf("true", { workingDirectory: "/no/such/directory" });
    expect(result.card?.hint).toMatch(
      /^The directory must be there, on the machine of the agent, before the first step/,
    );
  });

  it("quotes the line that a full disk left", async () => {
    const result = await resultOf("cat /proc/self/status > /dev/full");
    expect(result.card?.hint).toMatch(/^A file system had no space left: "cat: .*No space left on device"$/);
  });
});

import type { MessageInitShape } from "@bufbuild/protobuf";
import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { LogPrinter } from "../../../src/cli/render/log-printer.ts";
import { LogStream } from "../../../src/gen/belay/v1/job_pb.ts";
import { GapReason, LogChunkSchema } from "../../../src/gen/belay/v1/tracker_service_pb.ts";
import { MemoryOutput } from "../memory-output.ts";

const { STDOUT, STDERR, AGENT } = LogStream;

function data(stream: LogStream, text: string): MessageInitShape<typeof LogChunkSchema> {
  return { stream, content: { case: "data", value: Buffer.from(text, "latin1") } };
}

function gap(stream: LogStream): MessageInitShape<typeof LogChunkSchema> {
  return { stream, content: { case: "gap", value: { bytes: 2048n, reason: GapReason.SPOOL_FULL } } };
}

async function print(
  chunks: MessageInitShape<typeof LogChunkSchema>[],
  options: { exact?: boolean; neutralize?: boolean } = {},
): Promise<{ stdout: string; stderr: string }> {
  const stdout = new MemoryOutput();
  const stderr = new MemoryOutput();
  const printer = new LogPrinter(stdout, stderr, { exact: false, neutralize: false, ...options });
  for (const chunk of chunks) await printer.print(create(LogChunkSchema, chunk));
  await printer.end();
  return { stdout: stdout.text, stderr: stderr.text };
}

describe("a log of all streams", () => {
  it("is printed in order of arrival, with the agent's messages marked and on their own lines", async () => {
    const { stdout } = await print([
      data(STDOUT, "half a line"),
      data(AGENT, "step 1 took long\nvery long\n"),
      data(STDOUT, " and its end\n"),
      data(STDERR, "err\n"),
      data(AGENT, "cut in"),
      data(AGENT, " two\n"),
    ]);
    expect(stdout).toBe(
      "half a line\nbelay: step 1 took long\nbelay: very long\n and its end\nerr\nbelay: cut in two\n",
    );
  });

  it("shows what is missing where it is missing", async () => {
    const { stdout } = await print([data(STDOUT, "a\n"), gap(STDERR), data(STDOUT, "b"), gap(STDOUT)]);
    const line = (stream: string) => `belay: 2.0 KiB of ${stream} are missing here: the agent's spool was full\n`;
    expect(stdout).toBe(`a\n${line("stderr")}b\n${line("stdout")}`);
  });
});

describe("a log of one stream", () => {
  it("is exactly its bytes; missing bytes are reported on standard error", async () => {
    const bytes = "\u001b[2J\xff\x00no newline";
    const { stdout, stderr } = await print([data(STDOUT, bytes), gap(STDOUT), data(STDOUT, "x")], { exact: true });
    expect(stdout).toBe(`${bytes}x`);
    expect(stderr).toMatch(/^belay: 2\.0 KiB of stdout are missing here/);
  });
});

it("on a terminal, control sequences are tracked in each stream separately", async () => {
  const { stdout } = await print([data(STDOUT, "\u001b["), data(STDERR, "2J\n"), data(STDOUT, "2Jx")], {
    neutralize: true,
  });
  expect(stdout).toBe("2J\n^[[2Jx");
});

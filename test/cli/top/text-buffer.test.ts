import { create } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { lineText } from "../../../src/cli/terminal/line.ts";
import { TextBuffer } from "../../../src/cli/top/text-buffer.ts";
import { LogStream } from "../../../src/gen/belay/v1/job_pb.ts";
import { GapReason, GapSchema, LogChunkSchema } from "../../../src/gen/belay/v1/tracker_service_pb.ts";

function bufferOf(...pieces: readonly (string | Uint8Array)[]): TextBuffer {
  const buffer = new TextBuffer();
  for (const piece of pieces) push(buffer, piece);
  return buffer;
}

function push(buffer: TextBuffer, piece: string | Uint8Array, stream: LogStream = LogStream.STDOUT): void {
  buffer.push(create(LogChunkSchema, { stream, content: { case: "data", value: Buffer.from(piece as Uint8Array) } }));
}

function texts(buffer: TextBuffer): string[] {
  return buffer.slice(0, buffer.count).map(lineText);
}

describe("A log as lines", () => {
  test("are the same wherever chunks end, also within characters", () => {
    const log = Buffer.from("one\n流体\nopen");
    for (let cut = 0; cut < log.length; cut++) {
      expect(texts(bufferOf(log.subarray(0, cut), log.subarray(cut)))).toEqual(["one", "流体", "open"]);
    }
  });

  test("shows no control sequences, and only the last state of a progress bar", () => {
    expect(texts(bufferOf("\u001b[31mred\u001b[2J\u001b]0;x\u0007\n10%\r20%\r\nbell\u0007\n"))).toEqual([
      "red",
      "20%",
      "bell^G",
    ]);
  });

  test("separates streams, marks the agent's lines, and says what is missing", () => {
    const buffer = bufferOf("half ");
    push(buffer, "error\n", LogStream.STDERR);
    push(buffer, "line\n");
    push(buffer, "retrying\n", LogStream.AGENT);
    const value = create(GapSchema, { bytes: 2048n, reason: GapReason.SPOOL_FULL });
    buffer.push(create(LogChunkSchema, { stream: LogStream.STDOUT, content: { case: "gap", value } }));
    expect(texts(buffer)).toEqual([
      "error",
      "half line",
      "belay: retrying",
      "belay: 2.0 KiB of stdout are missing here: the agent's spool was full",
    ]);
  });

  test("splits a line that never ends", () => {
    expect(bufferOf("x".repeat(20_000)).count).toBe(3);
  });
});

describe("The memory of a log is bounded", () => {
  test("in lines: the oldest are dropped, and the others keep their numbers", () => {
    const buffer = new TextBuffer();
    for (let i = 0; i < 50_000; i++) push(buffer, `line ${i}\n`);
    expect(buffer.count).toBeLessThanOrEqual(12_500);
    expect(buffer.count).toBeGreaterThanOrEqual(10_000);
    expect(buffer.slice(0, 1).map(lineText)).toEqual([`line ${buffer.first}`]);
    expect(buffer.first + buffer.count).toBe(50_000);
  });

  test("in characters, however long the lines are", () => {
    const buffer = new TextBuffer();
    for (let i = 0; i < 2_000; i++) push(buffer, `${"x".repeat(8_000)}\n`);
    expect(buffer.count * 8_000).toBeLessThanOrEqual(5_000_000);
    expect(buffer.first + buffer.count).toBe(2_000);
  });
});

import { crc32 } from "node:zlib";
import { fromBinary } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { SlabPool } from "../../../../src/agent/report/frame.ts";
import { LogLane } from "../../../../src/agent/report/log-lane.ts";
import { LogLimit } from "../../../../src/agent/report/output/log-limit.ts";
import { MemorySpool } from "../../../../src/agent/report/memory-spool.ts";
import { Mask } from "../../../../src/agent/report/redact/mask.ts";
import { Redaction } from "../../../../src/agent/report/redact/redaction.ts";
import { LogStream } from "../../../../src/gen/belay/v1/job_pb.ts";
import { GapReason, type LogChunk, OpenSessionRequestSchema } from "../../../../src/gen/belay/v1/tracker_service_pb.ts";
import { ManualClock } from "../../../helpers/manual-clock.ts";

test("offsets, counts and check sums in the lane are those of what is left of the output", () => {
  const pool = new SlabPool();
  const spool = new MemorySpool(pool);
  const lane = new LogLane(spool, pool, new ManualClock());
  const limit = new LogLimit(
    40,
    (stream, step, data, time) => lane.append(stream, step, data, time),
    (step, message) => lane.append(LogStream.AGENT, step, Buffer.from(`${message}\n`), 0n),
  );
  const mask = new Mask();
  mask.setEnvironment({ MY_TOKEN: "super-secret" }, { redact: [], keep: [] });
  const redaction = new Redaction(mask, (stream, step, data, time) => limit.pass(stream, step, data, time));

  for (let n = 0; n < 5; n++) {
    redaction.pass(LogStream.STDOUT, 1, Buffer.from(`line ${n} super-`), 1n);
    redaction.pass(LogStream.STDERR, 1, Buffer.from("e\n"), 1n);
    redaction.pass(LogStream.STDOUT, 1, Buffer.from("secret\n"), 2n);
  }
  redaction.flush();
  for (const end of limit.cutEnds) lane.gap(end.stream, end.step, end.bytes, GapReason.LOG_LIMIT, end.readUnixNano);
  lane.flush();

  // 11 bytes and 2 a turn: the 40 are reached in the fourth turn's line.
  const kept = "line 0 ***\nline 1 ***\nline 2 ***\nl";
  const chunks: LogChunk[] = [];
  for (let sequence = 1; sequence < spool.nextSequence("logs"); sequence++) {
    const { payload } = fromBinary(OpenSessionRequestSchema, spool.read("logs", sequence) as Buffer);
    if (payload.case === "logBatch") chunks.push(...payload.value.chunks);
  }
  let out = "";
  for (const { stream, offset, content } of chunks) {
    if (stream !== LogStream.STDOUT) continue;
    expect(offset).toBe(BigInt(out.length));
    if (content.case === "data") out += Buffer.from(content.value).toString();
    else expect(content.value).toMatchObject({ bytes: 21n, reason: GapReason.LOG_LIMIT });
  }
  expect(out).toBe(kept);
  expect(lane.totals().find(({ stream }) => stream === LogStream.STDOUT)).toMatchObject({
    bytes: 55n,
    droppedBytes: 21n,
    lines: 3n,
    crc32: crc32(kept),
  });
  expect(lane.totals().find(({ stream }) => stream === LogStream.STDERR)).toMatchObject({
    bytes: 10n,
    droppedBytes: 4n,
  });
});

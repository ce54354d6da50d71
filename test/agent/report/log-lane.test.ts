import { crc32 } from "node:zlib";
import { fromBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { SlabPool } from "../../../src/agent/report/frame.ts";
import { LogLane } from "../../../src/agent/report/log-lane.ts";
import { MemorySpool } from "../../../src/agent/report/memory-spool.ts";
import { LogStream } from "../../../src/gen/belay/v1/job_pb.ts";
import { type LogChunk, OpenSessionRequestSchema } from "../../../src/gen/belay/v1/tracker_service_pb.ts";
import { ManualClock } from "../../helpers/manual-clock.ts";

function setUp(limit?: number): { lane: LogLane; spool: MemorySpool; clock: ManualClock } {
  const pool = new SlabPool();
  const spool = new MemorySpool(pool, limit);
  const clock = new ManualClock();
  return { lane: new LogLane(spool, pool, clock), spool, clock };
}

function chunksIn(spool: MemorySpool): LogChunk[] {
  const chunks: LogChunk[] = [];
  for (let sequence = 1; sequence < spool.nextSequence("logs"); sequence++) {
    const { payload } = fromBinary(OpenSessionRequestSchema, spool.read("logs", sequence) as Buffer);
    if (payload.case !== "logBatch") throw new Error("Expected a log batch");
    expect(payload.value.sequence).toBe(BigInt(sequence));
    chunks.push(...payload.value.chunks);
  }
  return chunks;
}

const batches = (spool: MemorySpool): number => spool.nextSequence("logs") - 1;
const line = Buffer.from("line\n");

describe("a batch closes", () => {
  test("at once when nothing was sent in the 50 ms before", () => {
    const { lane, spool, clock } = setUp();
    lane.append(LogStream.STDOUT, 1, line, 1n);
    expect(batches(spool)).toBe(1);
    clock.advance(50);
    lane.append(LogStream.STDOUT, 1, line, 1n);
    expect(batches(spool)).toBe(2);
  });

  test("50 ms after its first byte, however many follow", () => {
    const { lane, spool, clock } = setUp();
    lane.append(LogStream.STDOUT, 1, line, 1n);
    for (let i = 0; i < 5; i++) {
      lane.append(LogStream.STDOUT, 1, line, clock.unixNano());
      clock.advance(9);
    }
    expect(batches(spool)).toBe(1);
    clock.advance(5);
    expect(batches(spool)).toBe(2);
    expect(chunksIn(spool)).toHaveLength(6);
    expect(clock.pending).toBe(0);
  });

  test("when it is full", () => {
    const { lane, spool } = setUp();
    lane.append(LogStream.STDOUT, 1, line, 1n);
    lane.append(LogStream.STDOUT, 1, Buffer.alloc(65_536), 1n);
    expect(batches(spool)).toBe(2);
  });

  test("when asked to", () => {
    const { lane, spool, clock } = setUp();
    lane.append(LogStream.STDOUT, 1, line, 1n);
    lane.append(LogStream.STDOUT, 1, line, 1n);
    lane.flush();
    lane.flush();
    expect(batches(spool)).toBe(2);
    expect(clock.pending).toBe(0);
  });
});

test("every byte is in exactly one chunk, in order, at its offset, and the totals are those of the bytes", () => {
  const piece = fc.record({
    stream: fc.constantFrom(LogStream.STDOUT, LogStream.STDERR),
    data: fc.uint8Array({ minLength: 1, maxLength: 70_000, size: "max" }),
    pause: fc.nat({ max: 60 }),
  });
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
      const { lane, spool, clock } = setUp();
      for (const { stream, data, pause } of pieces) {
        lane.append(stream, 1, data, 1n);
        clock.advance(pause);
      }
      lane.flush();
      const chunks = chunksIn(spool);
      for (const stream of [LogStream.STDOUT, LogStream.STDERR]) {
        const expected = Buffer.concat(pieces.filter((one) => one.stream === stream).map((one) => one.data));
        const got: Uint8Array[] = [];
        let offset = 0n;
        for (const chunk of chunks.filter((one) => one.stream === stream)) {
          expect(chunk.offset).toBe(offset);
          if (chunk.content.case !== "data") throw new Error("Expected data");
          got.push(chunk.content.value);
          offset += BigInt(chunk.content.value.length);
        }
        expect(Buffer.concat(got).equals(expected)).toBe(true);
        expect(lane.totals().find((total) => total.stream === stream)).toMatchObject({
          bytes: BigInt(expected.length),
          lines: BigInt(expected.filter((value) => value === 10).length),
          crc32: crc32(expected),
        });
      }
    }),
    { numRuns: 40 },
  );
});

test("when the spool is full the job has to wait, and everything printed before is kept", () => {
  const { lane, spool } = setUp(200_000);
  const data = Buffer.alloc(65_536, "x");
  let given = 1;
  while (lane.append(LogStream.STDOUT, 1, data, 1n)) given++;
  expect(given).toBeLessThan(5);
  lane.flush();
  const held = chunksIn(spool).reduce((sum, chunk) => sum + (chunk.content.value as Uint8Array).length, 0);
  expect(held).toBe(given * 65_536);
  let room = 0;
  spool.onRoom = () => room++;
  spool.ack("logs", 2);
  expect(room).toBe(1);
  expect(spool.full).toBe(false);
});

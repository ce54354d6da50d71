import { fromBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { FrameWriter, SlabPool } from "../../../src/agent/report/frame.ts";
import { LogStream } from "../../../src/gen/belay/v1/job_pb.ts";
import { GapReason, type LogBatch, OpenSessionRequestSchema } from "../../../src/gen/belay/v1/tracker_service_pb.ts";

function decode(frame: Buffer): LogBatch {
  const { payload } = fromBinary(OpenSessionRequestSchema, frame);
  if (payload.case !== "logBatch") throw new Error(`Expected a log batch, got ${payload.case}`);
  return payload.value;
}

function dataOf(frame: Buffer): Uint8Array {
  return Uint8Array.from(decode(frame).chunks[0]?.content.value as Uint8Array);
}

describe("a frame written by hand", () => {
  test("reads as the message that the contract defines, whatever its numbers", () => {
    const chunk = fc.record({
      stream: fc.constantFrom(LogStream.STDOUT, LogStream.STDERR, LogStream.AGENT),
      step: fc.nat({ max: 2 ** 32 - 1 }),
      offset: fc.maxSafeNat(),
      time: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
      data: fc.uint8Array({ minLength: 1, maxLength: 300 }),
    });
    const sequence = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER });
    fc.assert(
      fc.property(sequence, fc.array(chunk, { minLength: 1, maxLength: 20 }), (number, chunks) => {
        const writer = new FrameWriter(new SlabPool(), true);
        for (const { stream, step, offset, time, data } of chunks) {
          expect(writer.append(stream, step, offset, time, data)).toBe(data.length);
        }
        const batch = decode(writer.seal(number));
        expect(batch.sequence).toBe(BigInt(number));
        expect(
          batch.chunks.map(({ stream, step, offset, readUnixNano, content }) => {
            if (content.case !== "data") throw new Error("Expected data");
            return { stream, step, offset: Number(offset), time: readUnixNano, data: Uint8Array.from(content.value) };
          }),
        ).toEqual(chunks);
        expect(writer.isEmpty).toBe(true);
      }),
    );
  });

  test("holds a whole pipe read of 64 KiB, and after that only what there is room for", () => {
    const writer = new FrameWriter(new SlabPool(), true);
    const read = Buffer.alloc(65_536, "x");
    expect(writer.append(LogStream.STDOUT, 1, 2 ** 40, 1n, read)).toBe(65_536);
    expect(writer.isFull).toBe(true);
    expect(writer.append(LogStream.STDOUT, 1, 2 ** 40 + 65_536, 2_000_000n, read)).toBeLessThan(1024);
    expect(decode(writer.seal(1)).chunks[0]?.content.value).toHaveLength(65_536);
  });

  test("joins pieces of one stream that were read within a millisecond, and no others; no byte is lost or moved", () => {
    const piece = fc.record({
      stream: fc.constantFrom(LogStream.STDOUT, LogStream.STDERR),
      step: fc.integer({ min: 1, max: 2 }),
      wait: fc.constantFrom(0n, 1000n, 400_000n, 1_000_000n),
      data: fc.uint8Array({ minLength: 1, maxLength: 9000 }),
      gap: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.boolean(), fc.array(piece, { minLength: 1, maxLength: 30 }), (joins, pieces) => {
        const writer = new FrameWriter(new SlabPool(), joins);
        const wanted: { stream: number; step: number; offset: number; time: bigint; data: Buffer }[] = [];
        const ends = { [LogStream.STDOUT]: 0, [LogStream.STDERR]: 0 };
        let now = 10n ** 18n;
        let afterGap = false;
        for (const { stream, step, wait, data, gap } of pieces) {
          now += wait;
          const offset = ends[stream];
          const taken = writer.append(stream, step, offset, now, data);
          ends[stream] += taken;
          if (taken === 0) break;
          const kept = Buffer.from(data.subarray(0, taken));
          const last = wanted.at(-1);
          const same = last?.stream === stream && last.step === step && !afterGap && now - last.time < 1_000_000n;
          if (joins && same) last.data = Buffer.concat([last.data, kept]);
          else wanted.push({ stream, step, offset, time: now, data: kept });
          afterGap = gap && !writer.isFull;
          if (afterGap) {
            writer.appendGap(stream, step, ends[stream], now, 7, GapReason.LOG_LIMIT);
            ends[stream] += 7;
          }
        }
        const made = decode(writer.seal(1)).chunks.flatMap(({ stream, step, offset, readUnixNano, content }) =>
          content.case === "data"
            ? [{ stream, step, offset: Number(offset), time: readUnixNano, data: Buffer.from(content.value) }]
            : [],
        );
        expect(made).toEqual(wanted);
      }),
    );
  });

  test("carries gaps", () => {
    const writer = new FrameWriter(new SlabPool(), true);
    writer.appendGap(LogStream.STDERR, 3, 500, 9n, 1_000_000, GapReason.SPOOL_FULL);
    const [chunk] = decode(writer.seal(4)).chunks;
    expect(chunk).toMatchObject({ stream: LogStream.STDERR, step: 3, offset: 500n, readUnixNano: 9n });
    expect(chunk?.content.value).toMatchObject({ bytes: 1_000_000n, reason: GapReason.SPOOL_FULL });
  });

  test("keeps its bytes when its slab is in use again, unless it was reclaimed", () => {
    const pool = new SlabPool();
    const writer = new FrameWriter(pool, true);
    writer.append(LogStream.STDOUT, 1, 0, 1n, Buffer.alloc(60_000, "a"));
    const large = writer.seal(1);
    writer.append(LogStream.STDOUT, 1, 0, 1n, Buffer.alloc(10, "b"));
    const small = writer.seal(2);
    writer.append(LogStream.STDOUT, 1, 0, 1n, Buffer.alloc(60_000, "c"));
    expect(dataOf(large)).toEqual(new Uint8Array(60_000).fill(97));
    expect(dataOf(small)).toEqual(new Uint8Array(10).fill(98));
    expect(small.buffer).not.toBe(large.buffer);
    pool.reclaim(large);
    expect(pool.take().buffer).toBe(large.buffer);
  });
});

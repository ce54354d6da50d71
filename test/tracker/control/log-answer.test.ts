import { fromBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { expect, test } from "vitest";
import { LogStream } from "../../../src/gen/belay/v1/job_pb.ts";
import { ReadLogsResponseSchema } from "../../../src/gen/belay/v1/job_service_pb.ts";
import { GapReason } from "../../../src/gen/belay/v1/tracker_service_pb.ts";
import { encodeLogs, messageOfLogs } from "../../../src/tracker/control/log-answer.ts";

const position = fc.maxSafeNat();

const data = fc
  .oneof(fc.nat(40), fc.nat(5000), fc.constantFrom(127, 128, 1023, 1024, 1025, 16_383, 16_384, 262_144))
  .map((length) => ({ data: Buffer.alloc(length, "0123456789\n"), gap: undefined }));

const gap = fc
  .record({ bytes: position, reason: fc.constantFrom(GapReason.UNSPECIFIED, GapReason.SPOOL_FULL, 9 as GapReason) })
  .map((lost) => ({ data: undefined, gap: lost }));

const chunk = fc
  .tuple(
    fc.record({
      stream: fc.constantFrom(LogStream.STDOUT, LogStream.STDERR, LogStream.AGENT),
      step: fc.nat(2 ** 31),
      offset: position,
      readUnixNano: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
      lines: fc.nat(),
      crc: fc.nat(),
      position,
      dataPosition: position,
    }),
    fc.oneof(data, gap),
  )
  .map(([head, content]) => ({ ...head, ...content }));

test("What is encoded for sending decodes to the message, whatever is in it", () => {
  fc.assert(
    fc.property(fc.array(chunk, { maxLength: 20 }), position, fc.nat(), (chunks, next, attempt) => {
      const answer = { chunks, next, attempt };
      const decoded = fromBinary(ReadLogsResponseSchema, Buffer.concat(encodeLogs(answer)));
      expect(decoded).toEqual(messageOfLogs(answer));
    }),
  );
});

test("Large data is sent as it is, without a copy", () => {
  const large = Buffer.alloc(100_000);
  const head = { stream: LogStream.STDOUT, step: 1, offset: 0, readUnixNano: 1n, lines: 0, crc: 0 };
  const parts = encodeLogs({
    chunks: [{ ...head, position: 0, dataPosition: 0, data: large, gap: undefined }],
    next: 1,
    attempt: 1,
  });
  expect(parts.some((part) => part === large)).toBe(true);
});

import { create } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import type { ReadLogsResponse } from "../../gen/belay/v1/job_service_pb.ts";
import { ReadLogsResponseSchema } from "../../gen/belay/v1/job_service_pb.ts";
import type { LogChunk } from "../../gen/belay/v1/tracker_service_pb.ts";
import { GapSchema, LogChunkSchema } from "../../gen/belay/v1/tracker_service_pb.ts";
import type { PlacedChunk } from "../store/log/format.ts";

/** Bytes of data below which it is copied next to its header: sending one part is cheaper than sending two. */
const COPY_BELOW_BYTES = 1024;

/** One answer of ReadLogs. */
export interface LogAnswer {
  readonly chunks: readonly PlacedChunk[];
  /** The position at which an interrupted call continues. */
  readonly next: number;
  readonly attempt: number;
}

/** An answer as a message. */
export function messageOfLogs({ chunks, next, attempt }: LogAnswer): ReadLogsResponse {
  return create(ReadLogsResponseSchema, { chunks: chunks.map(toWire), nextPosition: BigInt(next), attempt });
}

function toWire(chunk: PlacedChunk): LogChunk {
  const { stream, step, readUnixNano, data, gap } = chunk;
  return create(LogChunkSchema, {
    stream,
    step,
    offset: BigInt(chunk.offset),
    readUnixNano,
    content:
      gap === undefined
        ? { case: "data", value: data ?? new Uint8Array() }
        : { case: "gap", value: create(GapSchema, { bytes: BigInt(gap.bytes), reason: gap.reason }) },
  });
}

const ANSWER = ReadLogsResponseSchema.field;
const CHUNK = LogChunkSchema.field;
const GAP = GapSchema.field;

/**
 * The same, encoded in parts that must be sent in order. Large data is in them without a copy; encoding the message
 * would copy it three times.
 */
export function encodeLogs({ chunks, next, attempt }: LogAnswer): Uint8Array[] {
  const parts: Uint8Array[] = [];
  const writer = new BinaryWriter();
  for (const chunk of chunks) {
    const data = chunk.data ?? new Uint8Array();
    writer.tag(ANSWER.chunks.number, WireType.LengthDelimited);
    if (data.byteLength < COPY_BELOW_BYTES) {
      writeHead(writer.fork(), chunk);
      writer.raw(data).join();
      continue;
    }
    const head = new BinaryWriter();
    writeHead(head, chunk);
    const bytes = head.finish();
    writer.uint32(bytes.byteLength + data.byteLength).raw(bytes);
    parts.push(writer.finish(), data);
  }
  writer.tag(ANSWER.nextPosition.number, WireType.Varint).uint64(next);
  writer.tag(ANSWER.attempt.number, WireType.Varint).uint32(attempt);
  parts.push(writer.finish());
  return parts;
}

/** All of a chunk but its data, which must follow. */
function writeHead(writer: BinaryWriter, { stream, step, offset, readUnixNano, data, gap }: PlacedChunk): void {
  writer.tag(CHUNK.stream.number, WireType.Varint).int32(stream);
  writer.tag(CHUNK.step.number, WireType.Varint).uint32(step);
  writer.tag(CHUNK.offset.number, WireType.Varint).uint64(offset);
  writer.tag(CHUNK.readUnixNano.number, WireType.Bit64).fixed64(readUnixNano);
  if (gap === undefined) {
    writer.tag(CHUNK.data.number, WireType.LengthDelimited).uint32(data?.byteLength ?? 0);
    return;
  }
  writer.tag(CHUNK.gap.number, WireType.LengthDelimited).fork();
  writer.tag(GAP.bytes.number, WireType.Varint).uint64(gap.bytes);
  writer.tag(GAP.reason.number, WireType.Varint).int32(gap.reason);
  writer.join();
}

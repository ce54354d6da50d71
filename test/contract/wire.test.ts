import { type DescField, ScalarType } from "@bufbuild/protobuf";
import { WireType } from "@bufbuild/protobuf/wire";
import { expect, it } from "vitest";
import * as wire from "../../src/contract/wire.ts";
import {
  GapSchema,
  LogBatchSchema,
  LogChunkSchema,
  OpenSessionRequestSchema,
} from "../../src/gen/belay/v1/tracker_service_pb.ts";

/** The tag of a field, from its descriptor. */
function tagOf(field: DescField): number {
  return (field.number << 3) | wireTypeOf(field);
}

function wireTypeOf(field: DescField): WireType {
  if (field.fieldKind === "enum") return WireType.Varint;
  if (field.fieldKind !== "scalar") return WireType.LengthDelimited;
  switch (field.scalar) {
    case ScalarType.BYTES:
    case ScalarType.STRING:
      return WireType.LengthDelimited;
    case ScalarType.FIXED64:
    case ScalarType.SFIXED64:
    case ScalarType.DOUBLE:
      return WireType.Bit64;
    default:
      return WireType.Varint;
  }
}

const EXPECTED: Readonly<Record<keyof typeof wire, DescField>> = {
  REQUEST_LOG_BATCH: OpenSessionRequestSchema.field.logBatch,
  BATCH_SEQUENCE: LogBatchSchema.field.sequence,
  BATCH_CHUNKS: LogBatchSchema.field.chunks,
  CHUNK_STREAM: LogChunkSchema.field.stream,
  CHUNK_STEP: LogChunkSchema.field.step,
  CHUNK_OFFSET: LogChunkSchema.field.offset,
  CHUNK_READ_UNIX_NANO: LogChunkSchema.field.readUnixNano,
  CHUNK_DATA: LogChunkSchema.field.data,
  CHUNK_GAP: LogChunkSchema.field.gap,
  GAP_BYTES: GapSchema.field.bytes,
  GAP_REASON: GapSchema.field.reason,
};

it.each(Object.entries(wire))("%s is the tag of its field in the contract", (name, tag) => {
  expect(tag).toBe(tagOf(EXPECTED[name as keyof typeof wire]));
});

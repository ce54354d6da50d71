import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { zstdCompressSync, zstdDecompressSync } from "node:zlib";
import type { Event } from "../../../gen/belay/v1/tracker_service_pb.ts";
import { EventSchema } from "../../../gen/belay/v1/tracker_service_pb.ts";

/**
 * Bytes above which a body is compressed. SQLite keeps up to 1002 bytes in the row's own page; a longer body takes
 * another page of 4 KiB for its tail.
 */
const COMPRESS_ABOVE = 960;
/** First byte of a zstd frame. An encoded event begins with the tag of its sequence, 0x08. */
const ZSTD = 0x28;

/** Encodes an event for the store. */
export function packEvent(event: Event): Uint8Array {
  const bytes = toBinary(EventSchema, event);
  return bytes.length <= COMPRESS_ABOVE ? bytes : zstdCompressSync(bytes);
}

/** @throws if the bytes are not from `packEvent` */
export function unpackEvent(body: Uint8Array): Event {
  return fromBinary(EventSchema, body[0] === ZSTD ? zstdDecompressSync(body) : body);
}

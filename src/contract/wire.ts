// Tags of the fields that the agent encodes and decodes by hand: a log batch is encoded in the buffer into which output
// was read. Literals, since reading the descriptors would add milliseconds to an agent's start;
// test/contract/wire.test.ts checks them.
// A tag is the field's number and its wire type (https://protobuf.dev/programming-guides/encoding/#structure).

/** `OpenSessionRequest.log_batch` */
export const REQUEST_LOG_BATCH = 0x12;
/** `LogBatch.sequence` */
export const BATCH_SEQUENCE = 0x08;
/** `LogBatch.chunks` */
export const BATCH_CHUNKS = 0x12;
/** `LogChunk.stream` */
export const CHUNK_STREAM = 0x08;
/** `LogChunk.step` */
export const CHUNK_STEP = 0x10;
/** `LogChunk.offset` */
export const CHUNK_OFFSET = 0x18;
/** `LogChunk.read_unix_nano` */
export const CHUNK_READ_UNIX_NANO = 0x21;
/** `LogChunk.data` */
export const CHUNK_DATA = 0x2a;
/** `LogChunk.gap` */
export const CHUNK_GAP = 0x32;
/** `Gap.bytes` */
export const GAP_BYTES = 0x08;
/** `Gap.reason` */
export const GAP_REASON = 0x10;

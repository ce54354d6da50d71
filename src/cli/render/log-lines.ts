import { create } from "@bufbuild/protobuf";
import { MiB } from "../../base/text/sizes.ts";
import type { LogStream } from "../../gen/belay/v1/job_pb.ts";
import type { LogChunk } from "../../gen/belay/v1/tracker_service_pb.ts";
import { LogChunkSchema } from "../../gen/belay/v1/tracker_service_pb.ts";

const NEWLINE = 0x0a;
/** A longer line is split, and each part is treated as a line. */
const MAX_LINE_BYTES: number = 1 * MiB;

/** Options for whole lines. */
export interface LineOptions {
  /** Only lines that match this, decoded as UTF-8, are printed. */
  readonly grep?: RegExp;
  /** Whether each line begins with the time of its first byte. */
  readonly timestamps: boolean;
}

interface Open {
  parts: Uint8Array[];
  bytes: number;
  first: LogChunk;
}

/** Joins the chunks of each stream to whole lines, and returns the selected lines. */
export class LogLines {
  private readonly options: LineOptions;
  private readonly open = new Map<LogStream, Open>();

  constructor(options: LineOptions) {
    this.options = options;
  }

  /** Returns the lines that this chunk completes, as chunks; a gap is returned unchanged. */
  *push(chunk: LogChunk): Generator<LogChunk, void> {
    if (chunk.content.case !== "data") {
      yield* this.take(chunk.stream);
      yield chunk;
      return;
    }
    let rest = chunk.content.value;
    while (rest.length > 0) {
      const end = rest.indexOf(NEWLINE) + 1;
      const part = end === 0 ? rest : rest.subarray(0, end);
      rest = rest.subarray(part.length);
      const line = this.open.get(chunk.stream) ?? { parts: [], bytes: 0, first: chunk };
      line.parts.push(part);
      line.bytes += part.length;
      this.open.set(chunk.stream, line);
      if (end > 0 || line.bytes >= MAX_LINE_BYTES) yield* this.take(chunk.stream);
    }
  }

  /** Returns unfinished lines. */
  *end(): Generator<LogChunk, void> {
    for (const stream of this.open.keys()) yield* this.take(stream);
  }

  private *take(stream: LogStream): Generator<LogChunk, void> {
    const line = this.open.get(stream);
    if (line === undefined) return;
    this.open.delete(stream);
    const { grep, timestamps } = this.options;
    const bytes = Buffer.concat(line.parts);
    if (grep !== undefined && !grep.test(bytes.toString("utf8").replace(/\r?\n$/, ""))) return;
    const prefix = timestamps ? Buffer.from(`${isoTimeOfNano(line.first.readUnixNano)} `) : Buffer.alloc(0);
    const value = Buffer.concat([prefix, bytes]);
    yield create(LogChunkSchema, { ...line.first, content: { case: "data", value } });
  }
}

/** `2026-11-22T08:33:17.123Z`. */
function isoTimeOfNano(unixNano: bigint): string {
  return new Date(Number(unixNano / 1_000_000n)).toISOString();
}

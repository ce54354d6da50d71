import { stripVTControlCharacters } from "node:util";
import { LogStream } from "../../gen/belay/v1/job_pb.ts";
import type { JobClient } from "../client/client.ts";
import { clean } from "../render/clean.ts";
import type { PrintedBytes, JobRow } from "./row.ts";

/** How many bytes are read from a stream's end: enough for a line that fits on a screen. */
const TAIL_BYTES = 2_048;
/** Most characters that are kept of a line. */
const MAX_LINE = 512;

/**
 * Reads the last line that a job printed, on any stream: at most 2 KiB of each stream that has grown.
 *
 * @param seen how much had been written at the last call. Absent: this is the first call
 * @returns undefined if nothing has been printed since then
 */
export async function readLastLine(
  client: JobClient,
  row: JobRow,
  seen: PrintedBytes | undefined,
  signal: AbortSignal,
): Promise<string | undefined> {
  const grown = (
    [
      [LogStream.STDOUT, row.output.stdout, seen?.stdout ?? 0],
      [LogStream.STDERR, row.output.stderr, seen?.stderr ?? 0],
    ] as const
  ).filter(([, bytes, before]) => bytes !== before && bytes > 0);
  const tails = await Promise.all(grown.map(([stream, bytes]) => readTail(client, row, stream, bytes, signal)));
  const last = tails.filter(({ text }) => text !== "").sort((a, b) => Number(b.readUnixNano - a.readUnixNano))[0];
  return last?.text;
}

async function readTail(
  client: JobClient,
  row: JobRow,
  stream: LogStream,
  bytes: number,
  signal: AbortSignal,
): Promise<{ text: string; readUnixNano: bigint }> {
  const from = Math.max(0, bytes - TAIL_BYTES);
  const request = {
    jobId: row.jobId,
    attempt: row.attempt,
    streams: [stream],
    start: { case: "fromByte" as const, value: BigInt(from) },
    limitBytes: BigInt(2 * TAIL_BYTES),
  };
  return client.once(async (jobs) => {
    const pieces: Uint8Array[] = [];
    let readUnixNano = 0n;
    for await (const { chunks } of jobs.readLogs(request, { signal })) {
      for (const chunk of chunks) {
        readUnixNano = chunk.readUnixNano;
        if (chunk.content.case === "data") pieces.push(chunk.content.value);
      }
    }
    return { text: lastLineOf(Buffer.concat(pieces), from > 0), readUnixNano };
  });
}

/**
 * The last line that is not blank, without control sequences. If it was overwritten (`\r`), its last state.
 *
 * @param cut whether the bytes begin in the middle of the stream, perhaps within a character
 */
export function lastLineOf(bytes: Uint8Array, cut: boolean): string {
  const text = stripVTControlCharacters(Buffer.from(bytes).toString("utf8"));
  const whole = cut ? text.replace(/^\ufffd+/, "") : text;
  const line = whole.split(/[\r\n]+/).findLast((part) => part.trim() !== "") ?? "";
  return clean(line.replaceAll("\t", "  ").trimEnd().slice(0, MAX_LINE));
}

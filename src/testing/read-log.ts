import type { Client } from "@connectrpc/connect";
import { checkOptions, milliseconds, oneOf, type Rules, whole, yesOrNo } from "../base/options.ts";
import { LogStream } from "../gen/belay/v1/job_pb.ts";
import type { JobService } from "../gen/belay/v1/job_service_pb.ts";

/** See readLog. */
export interface ReadLogOptions {
  /** Which stream. Absent: standard output and standard error, in order of reading. */
  readonly stream?: "stdout" | "stderr" | "agent";
  /** Whether to wait for the end of the job, so that the log is complete. @default true */
  readonly follow?: boolean;
  /** Which attempt. @default the latest */
  readonly attempt?: number;
  /** Milliseconds. @default 10_000 */
  readonly timeout?: number;
}

const RULES: Rules<ReadLogOptions> = {
  stream: oneOf("stdout", "stderr", "agent"),
  follow: yesOrNo,
  attempt: whole("the number of an attempt", 0),
  timeout: milliseconds(),
};

/**
 * Reads a job's log as bytes, exactly as the job wrote them.
 *
 * @throws BelayError `BAD_USAGE` for an option that cannot be used
 * @throws ConnectError NOT_FOUND for an unknown job, DEADLINE_EXCEEDED if the job has not ended in time
 */
export async function readLogBytes(
  client: Client<typeof JobService>,
  jobId: string,
  given: ReadLogOptions = {},
): Promise<Uint8Array> {
  const options = checkOptions("readLog", given, RULES);
  const streams =
    options.stream === undefined
      ? [LogStream.STDOUT, LogStream.STDERR]
      : [{ stdout: LogStream.STDOUT, stderr: LogStream.STDERR, agent: LogStream.AGENT }[options.stream]];
  const pieces: Uint8Array[] = [];
  const request = { jobId, streams, follow: options.follow ?? true, attempt: options.attempt ?? 0 };
  for await (const { chunks } of client.readLogs(request, { timeoutMs: options.timeout ?? 10_000 })) {
    for (const { content } of chunks) if (content.case === "data") pieces.push(content.value);
  }
  return Buffer.concat(pieces);
}

/**
 * Reads a job's log as text; bytes that are not UTF-8 become U+FFFD.
 *
 * ```ts
 * expect(await readLog(tracker.client, "j1", { stream: "stderr" })).toContain("warning");
 * ```
 */
export async function readLog(
  client: Client<typeof JobService>,
  jobId: string,
  options: ReadLogOptions = {},
): Promise<string> {
  return new TextDecoder().decode(await readLogBytes(client, jobId, options));
}

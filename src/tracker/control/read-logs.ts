import type { HandlerContext } from "@connectrpc/connect";
import { Code, ConnectError } from "@connectrpc/connect";
import { KiB } from "../../base/sizes.ts";
import type { Attempt } from "../../gen/belay/v1/job_pb.ts";
import { LogCompleteness } from "../../gen/belay/v1/job_pb.ts";
import type { ReadLogsRequest, ReadLogsResponse } from "../../gen/belay/v1/job_service_pb.ts";
import type { LiveJob } from "../jobs/live-job.ts";
import type { MessageWriter } from "../net/message-writer.ts";
import { rawCallKey } from "../net/raw-call.ts";
import type { AttemptLog } from "../store/log/attempt-log.ts";
import type { PlacedChunk } from "../store/log/format.ts";
import type { ControlContext } from "./context.ts";
import { noSuchAttempt } from "./context.ts";
import { FollowedJob } from "./followed-job.ts";
import type { LogAnswer } from "./log-answer.ts";
import { encodeLogs, messageOfLogs } from "./log-answer.ts";
import type { LogFilter, LogStart } from "./log-start.ts";
import { filterOf, findStart, passes } from "./log-start.ts";
import { CallScope } from "../../base/wakeup.ts";
import { isEnded } from "../../contract/states.ts";

/** Data in one answer; well below the 4 MiB that clients take by default. */
const ANSWER_BYTES = 256 * KiB;

/**
 * Sends a log. A reader that is slower than the job falls behind on disk: in memory it has one block and one answer.
 */
export async function* readLogs(
  context: ControlContext,
  request: ReadLogsRequest,
  { signal, values }: HandlerContext,
): AsyncGenerator<ReadLogsResponse, void> {
  const { registry } = context;
  using scope = new CallScope(signal);
  const filter = filterOf(request);
  const job = await FollowedJob.of(registry, request.jobId, scope);
  const attempt = await pickAttempt(job, request);
  if (attempt === undefined) return;
  const handle = await registry.store.log(job.live.key, attempt);
  scope.defer(() => void handle.release());
  scope.defer(handle.log.onWrite(() => job.wakeup.notify()));
  const cursor = new LogCursor(
    handle.log,
    filter,
    await findStart(handle.log, request, filter),
    attempt,
    request.limitBytes,
  );
  let writer: MessageWriter | undefined;
  for (;;) {
    // Asked before reading: what is decided by then is all there is.
    const last = !request.follow || isOver(job.live, attempt);
    for await (const answer of cursor.answers()) {
      if (writer === undefined) yield messageOfLogs(answer);
      else if (!writer.writeParts(encodeLogs(answer))) await writer.drained();
      // connect-node has sent the headers now.
      writer = values.get(rawCallKey)?.writer;
      scope.check();
    }
    if (last || cursor.isFull) return;
    await job.next();
  }
}

/** The attempt to read. Undefined: there is none, and none will come while we are asked to wait. */
async function pickAttempt(job: FollowedJob, request: ReadLogsRequest): Promise<number | undefined> {
  for (;;) {
    const { live } = job;
    const latest = live.attempt?.attempt ?? 0;
    if (request.attempt > latest) throw noSuchAttempt(live, request.attempt);
    if (latest > 0) return request.attempt === 0 ? latest : request.attempt;
    if (!request.follow || isEnded(live.job.state)) return undefined;
    await job.next();
  }
}

/** Whether nothing more will come of an attempt's log. */
function isOver(live: LiveJob, number: number): boolean {
  const attempt: Attempt | undefined = live.job.attempts.find((candidate) => candidate.attempt === number);
  return attempt === undefined || attempt.superseded || attempt.logCompleteness !== LogCompleteness.UNSPECIFIED;
}

/** A place in a log that moves on as it is read. */
class LogCursor {
  private readonly log: AttemptLog;
  private readonly filter: LogFilter;
  private readonly start: LogStart;
  private readonly attempt: number;
  private position: number;
  private left: number;

  constructor(log: AttemptLog, filter: LogFilter, start: LogStart, attempt: number, limit: bigint) {
    this.log = log;
    this.filter = filter;
    this.start = start;
    this.attempt = attempt;
    this.position = start.position;
    this.left = limit === 0n ? Infinity : Number(limit);
  }

  /** Whether as many bytes were read as were asked for. */
  get isFull(): boolean {
    return this.left <= 0;
  }

  /** All that is stored by now and not read yet. */
  async *answers(): AsyncGenerator<LogAnswer, void> {
    const until = this.log.committed.position;
    const { attempt } = this;
    let chunks: PlacedChunk[] = [];
    let bytes = 0;
    for await (const record of this.log.read(this.position, until)) {
      for (const chunk of record.chunks) {
        for (const piece of this.pieces(chunk)) {
          chunks.push(piece);
          const size = piece.data?.byteLength ?? 0;
          bytes += size;
          this.left -= size;
          const next = piece.dataPosition + size;
          if (bytes < ANSWER_BYTES && !this.isFull) continue;
          yield { chunks, next, attempt };
          chunks = [];
          bytes = 0;
          if (this.isFull) return;
        }
      }
      this.position = record.end;
    }
    if (chunks.length > 0) yield { chunks, next: this.position, attempt };
    if (this.position < until) {
      throw new ConnectError(`The stored log is damaged at position ${this.position}`, Code.DataLoss);
    }
  }

  /** What is wanted of a chunk, in parts that fit into an answer. */
  private *pieces(chunk: PlacedChunk): Generator<PlacedChunk, void> {
    if (!passes(this.filter, chunk)) return;
    const wanted = this.start.skip(chunk);
    if (wanted === undefined) return;
    const { data } = wanted;
    if (data === undefined) {
      yield wanted;
      return;
    }
    for (let at = 0; at < data.byteLength; ) {
      const part = data.subarray(at, at + Math.min(ANSWER_BYTES, this.left));
      yield { ...wanted, data: part, offset: wanted.offset + at, dataPosition: wanted.dataPosition + at };
      at += part.byteLength;
    }
  }
}

import type { HandlerContext } from "@connectrpc/connect";
import { Code, ConnectError } from "@connectrpc/connect";
import { BelayError, messageOf } from "../../base/errors.ts";
import { Keepalive } from "../../base/network/keepalive.ts";
import { KiB } from "../../base/text/sizes.ts";
import type { Attempt } from "../../gen/belay/v1/job_pb.ts";
import type { ReadLogsRequest, ReadLogsResponse } from "../../gen/belay/v1/job_service_pb.ts";
import { noteDamage } from "../jobs/ending.ts";
import type { LiveJob } from "../jobs/live-job.ts";
import { AnswerSink } from "../net/answer-sink.ts";
import type { AttemptLog } from "../store/log/attempt-log.ts";
import type { PlacedChunk } from "../store/log/format.ts";
import { isLogClosed } from "../store/rows.ts";
import type { LogHandle } from "../store/types.ts";
import type { ControlContext } from "./context.ts";
import { noSuchAttempt } from "./context.ts";
import { FollowedJob } from "./followed-job.ts";
import type { LogAnswer } from "./log-answer.ts";
import { encodeLogs, messageOfLogs } from "./log-answer.ts";
import { GapFinder } from "./log-gaps.ts";
import type { LogFilter, LogStart } from "./log-start.ts";
import { filterOf, findStart, passes } from "./log-start.ts";
import { CallScope } from "../../base/wakeup.ts";
import { isEnded } from "../../contract/states.ts";

/** Bytes of data in one answer; well below the 4 MiB that clients accept by default. */
const ANSWER_BYTES = 256 * KiB;
/** Most bytes of a chunk besides its data; with a job that prints byte by byte, they are nearly all. */
const CHUNK_BYTES = 48;

/**
 * Sends a log. For a reader that is slower than the job, memory holds one block and one answer; the rest is on disk.
 */
export async function* readLogs(
  context: ControlContext,
  request: ReadLogsRequest,
  { signal, values }: HandlerContext,
): AsyncGenerator<ReadLogsResponse, void> {
  const { registry, clock } = context;
  using scope = new CallScope(signal);
  const filter = filterOf(request);
  const job = await FollowedJob.of(context, request.jobId, scope);
  const sink = new AnswerSink(values, { message: messageOfLogs, parts: encodeLogs });
  const keepalive = new Keepalive(clock, context.keepaliveInterval);
  let attempt = pickAttempt(job, request);
  while (attempt === 0) {
    await job.next(keepalive);
    if (keepalive.isDue) {
      yield* sink.send({ chunks: [], next: 0, attempt });
      keepalive.sent();
    }
    attempt = pickAttempt(job, request);
  }
  if (attempt === undefined) return;
  const handle = await openLog(context, job.live, attempt);
  scope.defer(() => void handle.release());
  scope.defer(handle.log.onWrite(() => job.wakeup.notify()));
  const cursor = new LogCursor(
    handle.log,
    filter,
    await findStart(handle.log, request, filter),
    attempt,
    request.limitBytes,
  );
  for (;;) {
    // Asked before reading: what is stored when the log is over is all of it.
    const last = !request.follow || isOver(job.live, attempt);
    for await (const answer of cursor.answers(keepalive)) {
      yield* sink.send(answer);
      keepalive.sent();
      scope.check();
    }
    if (cursor.isDamaged) await noteDamage(registry, job.live, attempt, DAMAGED);
    if (last || cursor.isFull) return;
    await job.next(keepalive);
  }
}

/** The message of an attempt whose log can no longer be read in part. */
const DAMAGED = "the stored log is damaged";

/** @throws ConnectError DATA_LOSS if nothing of what was stored can be read */
async function openLog({ registry, store }: ControlContext, live: LiveJob, attempt: number): Promise<LogHandle> {
  try {
    return await store.log(live.key, attempt);
  } catch (error) {
    if (!(error instanceof BelayError) || error.code !== "STORE") throw error;
    await noteDamage(registry, live, attempt, "the stored log is missing or damaged as a whole");
    throw new ConnectError(`${messageOf(error)}; belay check --repair records that`, Code.DataLoss);
  }
}

/** The attempt to read. 0: wait for the first attempt. Undefined: the job has no attempt, and the call does not wait. */
function pickAttempt({ live }: FollowedJob, request: ReadLogsRequest): number | undefined {
  const latest = live.attempt?.attempt ?? 0;
  if (request.attempt > latest) throw noSuchAttempt(live, request.attempt);
  if (latest > 0) return request.attempt === 0 ? latest : request.attempt;
  return !request.follow || isEnded(live.job.state) ? undefined : 0;
}

/** Whether an attempt's log will not grow any more. */
function isOver(live: LiveJob, number: number): boolean {
  const attempt: Attempt | undefined = live.job.attempts.find((candidate) => candidate.attempt === number);
  return attempt === undefined || isLogClosed(attempt);
}

/** A position in a log that advances as the log is read. */
class LogCursor {
  private readonly log: AttemptLog;
  private readonly filter: LogFilter;
  private readonly start: LogStart;
  private readonly gaps: GapFinder;
  private readonly attempt: number;
  private position: number;
  private left: number;

  constructor(log: AttemptLog, filter: LogFilter, start: LogStart, attempt: number, limit: bigint) {
    this.log = log;
    this.filter = filter;
    this.start = start;
    this.attempt = attempt;
    this.gaps = new GapFinder(start.from);
    this.position = start.from.position;
    this.left = limit === 0n ? Infinity : Number(limit);
  }

  /** Whether the requested number of bytes was read. */
  get isFull(): boolean {
    return this.left <= 0;
  }

  /** Whether damage was found so far. */
  get isDamaged(): boolean {
    return this.gaps.found;
  }

  /** What is stored by now and not read yet; an answer without chunks when a keepalive is due. */
  async *answers(keepalive: Keepalive): AsyncGenerator<LogAnswer, void> {
    const end = this.log.committed;
    const until = end.position;
    const { attempt } = this;
    let chunks: PlacedChunk[] = [];
    let bytes = 0;
    for await (const record of this.log.read(this.position, until)) {
      for (const chunk of record.chunks) {
        const gap = this.gaps.before(chunk, record);
        if (gap !== undefined) chunks.push(...this.pieces(gap));
        for (const piece of this.pieces(chunk)) {
          chunks.push(piece);
          const size = piece.data?.byteLength ?? 0;
          bytes += size + CHUNK_BYTES;
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
      if (!keepalive.isDue) continue;
      yield { chunks, next: this.position, attempt };
      chunks = [];
      bytes = 0;
    }
    this.position = until;
    for (const gap of this.gaps.atEnd(end)) chunks.push(...this.pieces(gap));
    if (chunks.length > 0 || keepalive.isDue) yield { chunks, next: until, attempt };
  }

  /** The selected part of a chunk, cut so that each piece fits into an answer. */
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

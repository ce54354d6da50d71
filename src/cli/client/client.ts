import type { CallOptions, Client, Interceptor } from "@connectrpc/connect";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { CLIENT_FLAGS, type Proof, proofOf } from "../../base/network/proof.ts";
import { backoffDelay } from "../../base/backoff.ts";
import { sleep } from "../../base/clock.ts";
import { formatDuration } from "../../contract/durations.ts";
import { BelayError } from "../../base/errors.ts";
import { MiB } from "../../base/text/sizes.ts";
import { checkTokenAllowed } from "../../base/network/plaintext-token.ts";
import { parseTrackerAddresses, type TrackerAddress } from "../../base/network/tracker-address.ts";
import { JobService } from "../../gen/belay/v1/job_service_pb.ts";
import { readFlagFile } from "../flags/flag-file.ts";
import { onlyToken } from "../flags/token-file.ts";
import { translate } from "./errors.ts";
import { ORIGIN, TrackerSession } from "./session.ts";

/** Delays between two attempts to reach the tracker, in milliseconds. They are short, because a user is waiting. */
const BACKOFF = { base: 200, cap: 2_000 };
/** A stream that has been open for this time shows that the tracker is back, even if no message came. Milliseconds. */
const STEADY_MS = 1_000;
/** An unreachable tracker is reported after this time, so that short interruptions are not. Milliseconds. */
const REMARK_AFTER_MS = 1_000;
/** Largest answer that is accepted. Most messages have at most 4 MiB; a page of jobs with long specs may be larger. */
const READ_MAX_BYTES = 64 * MiB;

/** How to reach a tracker. */
export interface ClientOptions {
  readonly tracker: string;
  readonly tokenFile?: string | undefined;
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  /** How long to keep trying an unreachable tracker, in milliseconds. 0: without limit. */
  readonly connectTimeout: number;
  readonly insecure?: boolean;
  /** Shows a message to the user, who is waiting. */
  readonly remark?: (text: string) => void;
}

/** A time during which the tracker cannot be reached. */
export interface Outage {
  /** When it began, in milliseconds since the Unix epoch. */
  readonly sinceMs: number;
  /** When the next attempt begins, in milliseconds since the Unix epoch. In the past: it has begun. */
  readonly nextMs: number;
  /** Why the last attempt failed, as a message for users. */
  readonly why: string;
}

/** See JobClient.follow. */
export interface FollowOptions {
  /** Ends the stream without an error. */
  readonly signal?: AbortSignal;
  /** Called after each failed attempt, and with undefined when the tracker is back. */
  readonly onOutage?: (outage: Outage | undefined) => void;
}

/** A client of a tracker's JobService that tries again while the tracker cannot be reached, and translates errors. */
export interface JobClient {
  readonly tracker: string;
  /**
   * Makes a call, and repeats it while the tracker cannot be reached, up to the connect timeout. The call must be safe
   * to repeat.
   *
   * @throws BelayError
   */
  call<T>(make: (jobs: Client<typeof JobService>) => Promise<T>): Promise<T>;
  /**
   * Reads a stream to its end, and opens it again when it breaks. `open` must continue at the last position, and pass
   * the options to its call. The connect timeout limits only the first opening: later outages may last for any time.
   *
   * @throws BelayError
   */
  follow<T>(
    open: (jobs: Client<typeof JobService>, options: CallOptions) => AsyncIterable<T>,
    options?: FollowOptions,
  ): AsyncGenerator<T, void, undefined>;
  /** Makes a call only once, for a caller that repeats it in any case. @throws BelayError */
  once<T>(make: (jobs: Client<typeof JobService>) => Promise<T>): Promise<T>;
  close(): void;
  [Symbol.dispose](): void;
}

/** @throws BelayError `BAD_USAGE` for an address or file that cannot be used */
export async function openClient(options: ClientOptions): Promise<JobClient> {
  const addresses = parseTrackerAddresses(options.tracker);
  const readTls = (): Promise<Proof> => proofOf(options, CLIENT_FLAGS);
  // Reports files that cannot be used before the first attempt.
  await readTls();
  const session = new TrackerSession(addresses, readTls);
  const transport = createGrpcTransport({
    baseUrl: ORIGIN,
    sessionManager: session,
    acceptCompression: [],
    readMaxBytes: READ_MAX_BYTES,
    interceptors: await tokenInterceptors(options, addresses),
  });
  const jobs = createClient(JobService, transport);

  /** Waits before the next attempt, or throws the error if there will be no further one. */
  async function waitToRetry(thrown: unknown, outage: Trial, watcher: FollowOptions = {}): Promise<void> {
    const { error, retry } = await translate(thrown, options.tracker);
    const waited = performance.now() - outage.since;
    outage.tries++;
    const left = outage.limit === 0 ? Number.POSITIVE_INFINITY : outage.limit - waited;
    if (!retry || left <= 0) {
      if (!retry || outage.limit === 0) throw error;
      const text = `${error.message}; gave up after ${formatDuration(waited)}`;
      throw new BelayError(error.code, text, { cause: error });
    }
    if (!outage.reported && (waited >= REMARK_AFTER_MS || outage.tries === 1)) {
      outage.reported = true;
      const limit = left === Number.POSITIVE_INFINITY ? "until it answers" : `for ${formatDuration(left)}`;
      options.remark?.(`${error.message}; trying ${limit}`);
    }
    const wait = Math.min(backoffDelay(outage.tries, BACKOFF), left);
    watcher.onOutage?.({ sinceMs: Date.now() - waited, nextMs: Date.now() + wait, why: error.message });
    await sleep(wait, watcher.signal);
  }

  return {
    tracker: options.tracker,
    async call(make) {
      const outage = newTrial(options.connectTimeout);
      for (;;) {
        try {
          return await make(jobs);
        } catch (error) {
          await waitToRetry(error, outage);
        }
      }
    },
    async once(make) {
      try {
        return await make(jobs);
      } catch (error) {
        throw (await translate(error, options.tracker)).error;
      }
    },
    async *follow(open, watcher = {}) {
      const isOver = (): boolean => watcher.signal?.aborted === true;
      let outage = newTrial(options.connectTimeout);
      const back = (): void => {
        if (outage.reported) options.remark?.(`Back at the tracker at ${options.tracker}`);
        if (outage.tries > 0) watcher.onOutage?.(undefined);
        outage = newTrial(0);
      };
      for (;;) {
        let steadyTimer: NodeJS.Timeout | undefined;
        // A job that prints nothing sends no messages: the stream's headers show that it is open.
        const onHeader = (): void => {
          outage = { ...outage, limit: 0 };
          steadyTimer = setTimeout(back, STEADY_MS).unref();
        };
        try {
          const call = { onHeader, ...(watcher.signal !== undefined && { signal: watcher.signal }) };
          for await (const message of open(jobs, call)) {
            back();
            yield message;
          }
          return;
        } catch (error) {
          if (isOver()) return;
          clearTimeout(steadyTimer);
          await waitToRetry(error, outage, watcher);
          if (isOver()) return;
        } finally {
          clearTimeout(steadyTimer);
        }
      }
    },
    close: () => session.close(),
    [Symbol.dispose]: () => session.close(),
  };
}

/** Attempts since the tracker's last answer. */
interface Trial {
  readonly since: number;
  readonly limit: number;
  tries: number;
  reported: boolean;
}

function newTrial(limit: number): Trial {
  return { since: performance.now(), limit, tries: 0, reported: false };
}

async function tokenInterceptors(options: ClientOptions, addresses: readonly TrackerAddress[]): Promise<Interceptor[]> {
  if (options.tokenFile === undefined) return [];
  for (const address of addresses) checkTokenAllowed(address, options.insecure);
  const path = options.tokenFile;
  let token = await readToken(path);
  return [
    (next) => async (request) => {
      // A follower may run longer than a token is valid. A file that is being written is read at the next attempt.
      token = await readToken(path).catch(() => token);
      request.header.set("authorization", `Bearer ${token}`);
      return next(request);
    },
  ];
}

async function readToken(path: string): Promise<string> {
  return onlyToken(await readFlagFile(path, "--token-file"), path, "--token-file");
}

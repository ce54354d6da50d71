import type { CallOptions, Client, Interceptor } from "@connectrpc/connect";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { CLIENT_FLAGS, type Proof, proofOf } from "../../base/network/proof.ts";
import { backoffDelay } from "../../base/backoff.ts";
import { sleep } from "../../base/clock.ts";
import { formatDuration } from "../../base/text/durations.ts";
import { BelayError } from "../../base/errors.ts";
import { MiB } from "../../base/text/sizes.ts";
import { checkTokenAllowed } from "../../base/network/plaintext-token.ts";
import { parseTrackerAddresses, type TrackerAddress } from "../../base/network/tracker-address.ts";
import { JobService } from "../../gen/belay/v1/job_service_pb.ts";
import { readFlagFile } from "../flags/flag-file.ts";
import { onlyToken } from "../flags/token-file.ts";
import { translate } from "./errors.ts";
import { ORIGIN, TrackerSession } from "./session.ts";

/** Waits between two tries: short, a person looks on. */
const BACKOFF = { base: 200, cap: 2_000 };
/** A stream that has been open for so long, silent or not, shows that the tracker is there. */
const STEADY_MS = 1_000;
/** A remark about a tracker that is away comes after this much waiting, not for every blip. */
const REMARK_AFTER_MS = 1_000;
/** Largest answer taken; a tracker sends no message above 4 MiB, a page of jobs with long specs may be larger. */
const READ_MAX_BYTES = 64 * MiB;

/** How to reach a tracker. */
export interface ClientOptions {
  readonly tracker: string;
  readonly tokenFile?: string | undefined;
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  /** Milliseconds for which an unreachable tracker is tried. 0: without limit. */
  readonly connectTimeout: number;
  readonly insecure?: boolean;
  /** Takes remarks for a person who waits. */
  readonly remark?: (text: string) => void;
}

/** A time without the tracker, for those who show it. */
export interface Outage {
  /** When it began, in milliseconds since the Unix epoch. */
  readonly sinceMs: number;
  /** When the tracker is tried again; past: it is being tried. */
  readonly nextMs: number;
  /** Why the last try failed, for people. */
  readonly why: string;
}

/** See JobClient.follow. */
export interface FollowOptions {
  /** Ends it, without an error. */
  readonly signal?: AbortSignal;
  /** Told with each failed try, and with nothing when messages come again. */
  readonly onOutage?: (outage: Outage | undefined) => void;
}

/** A tracker's JobService, with patience and clear errors. */
export interface JobClient {
  readonly tracker: string;
  /**
   * Makes a call, again while the tracker is away, up to the connect timeout. Give only calls that may be repeated.
   *
   * @throws BelayError
   */
  call<T>(make: (jobs: Client<typeof JobService>) => Promise<T>): Promise<T>;
  /**
   * Reads a stream to its end, opening it again when it breaks; `open` must go on where it was, and give the options to
   * its call. Once it has been open, a tracker that is away is waited for without limit: a follower waits for the job to end.
   *
   * @throws BelayError
   */
  follow<T>(
    open: (jobs: Client<typeof JobService>, options: CallOptions) => AsyncIterable<T>,
    options?: FollowOptions,
  ): AsyncGenerator<T, void, undefined>;
  /** Makes a call a single time, for those who will ask again anyway. @throws BelayError */
  once<T>(make: (jobs: Client<typeof JobService>) => Promise<T>): Promise<T>;
  close(): void;
  [Symbol.dispose](): void;
}

/** @throws BelayError `BAD_USAGE` for an address or file that cannot be used */
export async function openClient(options: ClientOptions): Promise<JobClient> {
  const addresses = parseTrackerAddresses(options.tracker);
  const readTls = (): Promise<Proof> => proofOf(options, CLIENT_FLAGS);
  // Files that cannot be used are reported before anything is tried.
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

  /** Waits before the next try of an outage, or throws what ended it. */
  async function again(thrown: unknown, outage: Trial, watcher: FollowOptions = {}): Promise<void> {
    const { error, retry } = await translate(thrown, options.tracker);
    const waited = performance.now() - outage.since;
    outage.tries++;
    const left = outage.limit === 0 ? Number.POSITIVE_INFINITY : outage.limit - waited;
    if (!retry || left <= 0) {
      if (!retry || outage.limit === 0) throw error;
      const text = `${error.message}; gave up after ${formatDuration(waited)}`;
      throw new BelayError(error.code, text, { cause: error });
    }
    if (!outage.said && (waited >= REMARK_AFTER_MS || outage.tries === 1)) {
      outage.said = true;
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
          await again(error, outage);
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
        if (outage.said) options.remark?.(`Back at the tracker at ${options.tracker}`);
        if (outage.tries > 0) watcher.onOutage?.(undefined);
        outage = newTrial(0);
      };
      for (;;) {
        let steady: NodeJS.Timeout | undefined;
        // The stream of a job that prints nothing has no answers: its headers show that it is open.
        const onHeader = (): void => {
          outage = { ...outage, limit: 0 };
          steady = setTimeout(back, STEADY_MS).unref();
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
          clearTimeout(steady);
          await again(error, outage, watcher);
          if (isOver()) return;
        } finally {
          clearTimeout(steady);
        }
      }
    },
    close: () => session.close(),
    [Symbol.dispose]: () => session.close(),
  };
}

/** Tries since the last answer. */
interface Trial {
  readonly since: number;
  readonly limit: number;
  tries: number;
  said: boolean;
}

function newTrial(limit: number): Trial {
  return { since: performance.now(), limit, tries: 0, said: false };
}

async function tokenInterceptors(options: ClientOptions, addresses: readonly TrackerAddress[]): Promise<Interceptor[]> {
  if (options.tokenFile === undefined) return [];
  for (const address of addresses) checkTokenAllowed(address, options.insecure);
  const path = options.tokenFile;
  let token = await readToken(path);
  return [
    (next) => async (request) => {
      // A follower may outlive a token; one that is being written now is read with the next try.
      token = await readToken(path).catch(() => token);
      request.header.set("authorization", `Bearer ${token}`);
      return next(request);
    },
  ];
}

async function readToken(path: string): Promise<string> {
  return onlyToken(await readFlagFile(path, "--token-file"), path, "--token-file");
}

import { randomBytes } from "node:crypto";
import { join } from "node:path";
import type { Logger } from "../../../base/logger.ts";
import { removeAll } from "../../../base/files/remove.ts";
import type { ContainmentChoice } from "../../options.ts";
import { type ContainmentFound, makeContainment, makeCookie } from "../tree/containment.ts";
import { makeJobDirectory } from "./directory.ts";
import { helperEnvironment } from "./environment.ts";
import { Pipes } from "./pipes.ts";
import { Watcher } from "./watcher.ts";

/** Pipes made before the number of steps is known: enough for one setup step and the command. */
const FIRST_PIPES = 4;

/** What the preparation of a job needs, before the job is known. */
export interface PrepareOptions {
  readonly containment: ContainmentChoice;
  /** Environment that the job starts from. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly logger: Logger;
}

/**
 * Everything a job needs before it can start: containment, pipes and the watcher. It is made while the agent dials, so that
 * it does not delay the job's first instruction after Welcome.
 *
 * The caller passes it to `startJob`, which closes it, or closes it itself.
 */
export interface PreparedJob extends ContainmentFound {
  /** For files that exist only while the job runs. Every user may pass through; only the owner may list it. */
  readonly directory: string;
  /** A named pipe for what the job writes into $BELAY_REDACT: in `directory`, there before the first of `pipes`. */
  readonly redactPipe: string;
  readonly pipes: Pipes;
  readonly watcher: Watcher;
  /** Lets go of the processes that are left: they are no longer the job's. Those that start later have another cookie. */
  release(): void;
  /** Releases everything, the tree included. While processes survive, the watcher stays. */
  close(): Promise<void>;
}

/**
 * Prepares a job. Returns at once; what takes longer continues in the background.
 *
 * @throws BelayError `BAD_USAGE` when the chosen containment is not available
 */
export function prepareJob(options: PrepareOptions): PreparedJob {
  const found = makeContainment(options.containment);
  const environment = helperEnvironment(options.environment);
  let directory: string;
  let pipes: Pipes;
  try {
    directory = makeJobDirectory();
    pipes = new Pipes(environment, directory);
  } catch (error) {
    found.tree.close();
    throw error;
  }
  const redactPipe = join(directory, `redact-${randomBytes(12).toString("hex")}`);
  const watcher = new Watcher({
    cookie: found.cookie,
    cgroup: found.cgroup,
    memoryCgroup: found.memoryCgroup,
    directory,
    pipes: [redactPipe, ...pipes.delegate(FIRST_PIPES)],
    environment,
    logger: options.logger,
  });
  found.tree.expectStart?.(() => watcher.pid);
  found.tree.onStrays?.((strays) => watcher.setStrays(strays));
  let closing: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    await pipes.close();
    if (!removeAll(directory)) options.logger.warn("Cannot remove the job's temporary directory", { directory });
    // A process that cannot be killed keeps its cgroup. The watcher then continues after the agent's end.
    if (found.tree.close()) await watcher.close();
    else options.logger.warn("Processes of the job survived", { cgroup: found.cgroup });
  };
  let { cookie } = found;
  return {
    ...found,
    get cookie(): string {
      return cookie;
    },
    directory,
    redactPipe,
    pipes,
    watcher,
    release: () => {
      cookie = makeCookie();
      found.tree.release(cookie);
      watcher.release(cookie);
    },
    close: () => (closing ??= close()),
  };
}

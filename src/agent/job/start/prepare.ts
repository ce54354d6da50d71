import { randomBytes } from "node:crypto";
import { join } from "node:path";
import type { Logger } from "../../../base/logger.ts";
import { removeAll } from "../../../base/remove.ts";
import type { ContainmentChoice } from "../../options.ts";
import { type ContainmentFound, makeContainment } from "../tree/containment.ts";
import { makeJobDirectory } from "./directory.ts";
import { helperEnvironment } from "./environment.ts";
import { Pipes } from "./pipes.ts";
import { Watcher } from "./watcher.ts";

/** Pipes made before the number of steps is known: enough for one setup step and the command. */
const FIRST_PIPES = 4;

/** What the preparation of a job needs to know: not yet the job. */
export interface PrepareOptions {
  readonly containment: ContainmentChoice;
  /** Environment that the job starts from. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly logger: Logger;
}

/**
 * All that a job needs before it can start: containment, pipes and the watcher. Made while the agent dials, it takes
 * nothing from the time between Welcome and the job's first instruction.
 *
 * Whoever makes one passes it to `startJob`, which closes it, or closes it.
 */
export interface PreparedJob extends ContainmentFound {
  /** For files that are there only while the job runs; everybody may pass through, nobody else list it. */
  readonly directory: string;
  /** A named pipe for what the job writes into $BELAY_REDACT: in `directory`, there before the first of `pipes`. */
  readonly redactPipe: string;
  readonly pipes: Pipes;
  readonly watcher: Watcher;
  /** Gives everything back, the tree with it, except while processes survive: then the watcher stays. */
  close(): Promise<void>;
}

/**
 * Prepares a job. Returns at once; what takes longer goes on by itself.
 *
 * @throws BelayError `BAD_USAGE` when the chosen containment cannot be had
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
    // A process that cannot be killed keeps its cgroup. The watcher then goes on when the agent is gone.
    if (found.tree.close()) await watcher.close();
    else options.logger.warn("Processes of the job survived", { cgroup: found.cgroup });
  };
  return { ...found, directory, redactPipe, pipes, watcher, close: () => (closing ??= close()) };
}

/**
 * A warning when the agent is process 1 of its container. Orphans of the job become children of process 1, and Node does not
 * reap them: they stay as zombies until the container ends.
 *
 * @returns a sentence for the log, or undefined when there is nothing to warn of
 */
export function nothingReapsWarning(pid: number = process.pid): string | undefined {
  if (pid !== 1) return undefined;
  return 'The agent is process 1, so nothing reaps orphans of the job; put an init in front, such as "tini --" or `docker run --init`';
}

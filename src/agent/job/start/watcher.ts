import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import type { Logger } from "../../../base/logger.ts";
import { PIPE_MODE } from "./pipes.ts";

/**
 * What the watcher runs, in plain POSIX sh (dash, bash, busybox). It sleeps in `read` until its pipe has a line
 * or closes. A close without "end" before it means that the agent is dead, whatever the cause; then the job's processes
 * are killed until none is found, and its cgroup and temporary files are removed. They are found by process group, by the
 * cookie in their environment, and, for those that have left the one and overwritten the other, by pid and start time
 * (field 22 of /proc/PID/stat; the text behind the name begins with field 3).
 *
 * $1 cookie  $2 the job's cgroup or nothing  $3 directory of temporary files  $4 the job's v1 memory cgroup or nothing
 * $5... pipes that it makes first
 */
const SCRIPT = `
trap '' HUP INT QUIT TERM TSTP TTIN TTOU USR1 USR2 PIPE
cookie=$1 cg=$2 dir=$3 memory=$4 groups= strays=
shift 4
[ $# -gt 0 ] && mkfifo -m ${PIPE_MODE} "$@"
while read -r verb word; do
  case $verb in
    groups) groups=$word ;;
    strays) strays=$word ;;
    add) strays="$strays $word" ;;
    cookie) cookie=$word groups= strays= ;;
    end) exit 0 ;;
  esac
done
round=0
while [ "$round" -lt 400 ]; do
  left=
  [ -n "$cg" ] && [ -e "$cg/cgroup.kill" ] && echo 1 > "$cg/cgroup.kill"
  IFS=,
  for group in $groups; do kill -KILL "-$group"; done
  IFS=' '
  for stray in $strays; do
    pid=\${stray%:*}
    read -r stat < "/proc/$pid/stat" || continue
    set -- \${stat##*) }
    [ "\${20}" = "\${stray#*:}" ] && [ "$1" != Z ] || continue
    [ "$3" = "$pid" ] && kill -KILL "-$pid"
    kill -KILL "$pid" && left=1
  done
  IFS='
'
  for file in $(grep -lszF -e "$cookie" /proc/[0-9]*/environ || grep -lsF -e "$cookie" /proc/[0-9]*/environ); do
    pid=\${file#/proc/} pid=\${pid%/environ}
    kill -s KILL "$pid" && left=1
  done
  if [ -n "$cg" ] && [ -d "$cg" ]; then
    rmdir "$cg"/*/*/ "$cg"/*/
    rmdir "$cg" || left=1
  fi
  if [ -n "$memory" ] && [ -d "$memory" ]; then rmdir "$memory" || left=1; fi
  [ -z "$left" ] && break
  round=$((round + 1))
  if [ "$round" -lt 100 ]; then sleep 0.02; else sleep 1; fi
done
rm -rf "$dir"
`;

/** All strays are named again once this many more were named than there are. */
const MOST_GONE = 256;

/** How often a watcher that was killed is replaced. */
const MOST_RESTARTS = 10;

/** What a watcher needs. */
export interface WatcherOptions {
  readonly cookie: string;
  /** Empty: none. */
  readonly cgroup: string;
  /** Empty: none. */
  readonly memoryCgroup: string;
  /** Removed when the agent dies. */
  readonly directory: string;
  /** Paths of pipes that it makes when it starts. */
  readonly pipes: readonly string[];
  readonly environment: Record<string, string>;
  readonly logger: Logger;
}

/**
 * A process that outlives the agent, to end the job when the agent has died.
 *
 * It is in a session of its own, out of reach of the job's signals and the terminal's, and not in the job's cgroup.
 */
export class Watcher {
  private child: ChildProcess;
  private groups: readonly number[] = [];
  private strays: readonly string[] = [];
  /** Strays that were reported to this watcher, including those that have ended. */
  private reportedStrays = new Set<string>();
  private restarts = 0;
  private closed = false;
  private cookie: string;
  private readonly options: WatcherOptions;

  constructor(options: WatcherOptions) {
    this.options = options;
    this.cookie = options.cookie;
    this.child = this.spawn(options.pipes);
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  /** Sets the process groups that are the job's at this time. */
  setGroups(groups: readonly number[]): void {
    this.groups = groups;
    this.child.stdin?.write(`groups ${groups.join(",")}\n`);
  }

  /**
   * Sets the processes that are the job's though they are in none of its groups. Costs nothing while they stay the same:
   * only new ones are named, and those that have ended are not taken back, for no other process has their start time.
   */
  setStrays(strays: readonly { readonly pid: number; readonly startTime: number }[]): void {
    this.strays = strays.map(({ pid, startTime }) => `${pid}:${startTime}`);
    const fresh = this.strays.filter((stray) => !this.reportedStrays.has(stray));
    if (fresh.length === 0) return;
    for (const stray of fresh) this.reportedStrays.add(stray);
    if (this.reportedStrays.size > this.strays.length + MOST_GONE) this.nameAllStrays();
    else this.child.stdin?.write(`add ${fresh.join(" ")}\n`);
  }

  /** The processes that it knows are no longer the job's, whose later ones have another cookie. */
  release(cookie: string): void {
    this.cookie = cookie;
    this.groups = [];
    this.strays = [];
    this.reportedStrays.clear();
    this.child.stdin?.write(`cookie ${cookie}\n`);
  }

  private nameAllStrays(): void {
    this.reportedStrays = new Set(this.strays);
    this.child.stdin?.write(`strays ${this.strays.join(" ")}\n`);
  }

  /** Ends the watcher without any action. Resolves when it has ended. */
  async close(): Promise<void> {
    this.closed = true;
    const { child } = this;
    if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exit = once(child, "exit");
    child.ref();
    child.stdin?.end("end\n");
    await exit;
  }

  private spawn(pipes: readonly string[]): ChildProcess {
    const { cgroup, memoryCgroup, directory, environment } = this.options;
    const args = ["-c", SCRIPT, "belay-watcher", this.cookie, cgroup, directory, memoryCgroup, ...pipes];
    const child = spawn("/bin/sh", args, {
      cwd: "/",
      detached: true,
      env: environment,
      stdio: ["pipe", "ignore", "ignore"],
    });
    // Neither the process nor its pipe keeps the agent from ending.
    child.unref();
    (child.stdin as unknown as { unref(): void } | null)?.unref();
    child.stdin?.on("error", () => undefined);
    child.once("error", () => this.lost());
    child.once("exit", () => this.lost());
    return child;
  }

  /** Another process killed the watcher: the job still needs one. */
  private lost(): void {
    if (this.closed) return;
    if (this.restarts >= MOST_RESTARTS) {
      this.options.logger.error("The job's watcher cannot be kept alive: if the agent dies now, the job lives on");
      return;
    }
    this.restarts += 1;
    this.options.logger.warn("The job's watcher ended; starting another one");
    this.child = this.spawn([]);
    this.setGroups(this.groups);
    this.nameAllStrays();
  }
}

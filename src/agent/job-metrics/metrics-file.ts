import { randomBytes } from "node:crypto";
import fs from "node:fs";
import { join } from "node:path";
import { systemClock, type Timer } from "../../base/clock.ts";
import { messageOf } from "../../base/errors.ts";
import type { Follower, MetricsFileHost } from "./follower.ts";
import { createMetricsFile } from "./make-file.ts";

/** Time between two polls. Milliseconds. */
const POLL_INTERVAL_MS = 1000;

/**
 * What a job reports about itself: lines that it appends to the file `$BELAY_METRICS`.
 *
 * A file that is polled once a second: a writer never waits and needs nothing but "append", a poll costs one lstat, and
 * no line wakes the agent. The code that reads the file is loaded when there is something to read.
 */
export class MetricsFile {
  /** Variables to add to the job's environment. */
  readonly environment: Readonly<Record<string, string>>;
  private readonly path: string;
  private fd: number | undefined;
  private inode = -1;
  private problem: string | undefined;
  private host: MetricsFileHost | undefined;
  private follower: Promise<Follower> | undefined;
  private timer: Timer | undefined;
  /** The last read; reads run one after the other. */
  private reading: Promise<void> = Promise.resolve();
  private busy = false;
  private failed = false;

  /**
   * Makes the file.
   *
   * @param directory other users may not list or change it, but may enter it; its owner removes it
   */
  constructor(directory: string) {
    this.path = join(directory, `metrics-${randomBytes(12).toString("hex")}`);
    try {
      this.fd = createMetricsFile(this.path);
      this.inode = fs.fstatSync(this.fd).ino;
    } catch (error) {
      this.problem = messageOf(error);
    }
    this.environment = this.fd === undefined ? {} : { BELAY_METRICS: this.path };
  }

  /** Starts to poll: the job has been started. */
  begin(host: MetricsFileHost): void {
    if (this.host !== undefined) return;
    this.host = host;
    if (this.fd === undefined) host.notice(`Cannot make the file for $BELAY_METRICS: ${this.problem}`);
    else this.pollLater();
  }

  /**
   * Reads everything that is there: a step has ended. Never rejects.
   *
   * @returns undefined if there is nothing to read
   */
  settle(): Promise<void> | undefined {
    if (!this.mayHaveMore()) return undefined;
    return this.inTurn((follower) => follower.settle());
  }

  /** Reads everything that is there, for the last time. Never rejects. */
  async end(): Promise<void> {
    this.timer?.cancel();
    if (this.mayHaveMore()) await this.inTurn((follower) => follower.end());
    else if (this.fd !== undefined) fs.closeSync(this.fd);
    this.fd = undefined;
    this.host = undefined;
  }

  private pollLater(): void {
    this.timer = systemClock.after(POLL_INTERVAL_MS, () => {
      this.pollLater();
      // While a poll is under way, the next one is skipped.
      if (this.busy || !this.mayHaveMore()) return;
      this.busy = true;
      void this.inTurn((follower) => follower.poll()).then(() => (this.busy = false));
    });
  }

  /** Whether a process has changed the file; always true once there was something to read. */
  private mayHaveMore(): boolean {
    if (this.host === undefined || this.fd === undefined) return false;
    if (this.follower !== undefined) return true;
    try {
      const there = fs.lstatSync(this.path);
      return there.ino !== this.inode || there.size > 0;
    } catch {
      return true;
    }
  }

  private inTurn(task: (follower: Follower) => Promise<void>): Promise<void> {
    this.reading = this.reading.then(async () => {
      const { host } = this;
      if (host === undefined) return;
      try {
        this.follower ??= import("./follower.ts").then((room) => new room.Follower(this.path, this.fd, host));
        await task(await this.follower);
      } catch (error) {
        if (!this.failed) host.notice(`Cannot read $BELAY_METRICS: ${messageOf(error)}`);
        this.failed = true;
      }
    });
    return this.reading;
  }
}

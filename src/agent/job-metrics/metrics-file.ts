import { randomBytes } from "node:crypto";
import fs from "node:fs";
import { join } from "node:path";
import { systemClock, type Timer } from "../../base/clock.ts";
import { messageOf } from "../../base/errors.ts";
import type { Follower, MetricsFileHost } from "./follower.ts";
import { createMetricsFile } from "./make-file.ts";

/** Time between two looks. Milliseconds. */
const LOOK_EVERY_MS = 1000;

/**
 * What a job says about itself: lines that it appends to the file `$BELAY_METRICS`.
 *
 * A file, and looked at once a second: whoever writes never waits and needs nothing but "append", a look costs one
 * lstat, and the kernel tells nobody of each line. What reads it is loaded when there is something to be read.
 */
export class MetricsFile {
  /** What the job's environment must have for it. */
  readonly environment: Readonly<Record<string, string>>;
  private readonly path: string;
  private fd: number | undefined;
  private inode = -1;
  private problem: string | undefined;
  private host: MetricsFileHost | undefined;
  private follower: Promise<Follower> | undefined;
  private timer: Timer | undefined;
  /** The looks, one after the other. */
  private looking: Promise<void> = Promise.resolve();
  private busy = false;
  private failed = false;

  /**
   * Makes the file.
   *
   * @param directory nobody else may list or change it, and everybody may pass through; removed by its owner
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

  /** Begins to look: the job has been started. */
  begin(host: MetricsFileHost): void {
    if (this.host !== undefined) return;
    this.host = host;
    if (this.fd === undefined) host.notice(`Cannot make the file for $BELAY_METRICS: ${this.problem}`);
    else this.lookLater();
  }

  /**
   * Reads all that is there: a step has ended.
   *
   * @returns undefined if there is nothing. Never rejects
   */
  settle(): Promise<void> | undefined {
    if (!this.isThereMore()) return undefined;
    return this.inTurn((follower) => follower.settle());
  }

  /** Reads all that is there for the last time. Never rejects. */
  async end(): Promise<void> {
    this.timer?.cancel();
    if (this.isThereMore()) await this.inTurn((follower) => follower.end());
    else if (this.fd !== undefined) fs.closeSync(this.fd);
    this.fd = undefined;
    this.host = undefined;
  }

  private lookLater(): void {
    this.timer = systemClock.after(LOOK_EVERY_MS, () => {
      this.lookLater();
      // A look that takes longer than the time between two leaves the next one out.
      if (this.busy || !this.isThereMore()) return;
      this.busy = true;
      void this.inTurn((follower) => follower.look()).then(() => (this.busy = false));
    });
  }

  /** Whether somebody has done something with the file; once there is something to read, always. */
  private isThereMore(): boolean {
    if (this.host === undefined || this.fd === undefined) return false;
    if (this.follower !== undefined) return true;
    try {
      const there = fs.lstatSync(this.path);
      return there.ino !== this.inode || there.size > 0;
    } catch {
      return true;
    }
  }

  private inTurn(act: (follower: Follower) => Promise<void>): Promise<void> {
    this.looking = this.looking.then(async () => {
      const { host } = this;
      if (host === undefined) return;
      try {
        this.follower ??= import("./follower.ts").then((room) => new room.Follower(this.path, this.fd, host));
        await act(await this.follower);
      } catch (error) {
        if (!this.failed) host.notice(`Cannot read $BELAY_METRICS: ${messageOf(error)}`);
        this.failed = true;
      }
    });
    return this.looking;
  }
}

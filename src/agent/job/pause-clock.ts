/** Measures for how long a job was paused in all. */
export class PauseClock {
  private since: number | undefined;
  private total = 0;

  /** Milliseconds, without a pause that has not ended. */
  get pausedMs(): number {
    return this.total;
  }

  begin(): void {
    this.since ??= performance.now();
  }

  /** Does nothing when the job is not paused. */
  end(): void {
    if (this.since !== undefined) this.total += performance.now() - this.since;
    this.since = undefined;
  }
}

/** A stored change of a job. */
export interface JobChange {
  readonly jobId: string;
  /** The job's version from now on. */
  readonly version: number;
  /** Whether the version is the one before: the job has new metrics, but looks the same to watchers of jobs. */
  readonly keepsVersion: boolean;
  readonly deleted: boolean;
}

/** Called after each change, once it is stored. */
export type ChangeListener = (change: JobChange) => void;

/** The changes of all jobs: gives each a version, and notifies listeners once it is stored. */
export class JobChanges {
  private readonly listeners = new Set<ChangeListener>();
  private latest: number;

  /** @param latest the highest version that the store has given out */
  constructor(latest: number) {
    this.latest = latest;
  }

  /** The latest version of all jobs. */
  get version(): number {
    return this.latest;
  }

  /** A version that is higher than all before. */
  nextVersion(): number {
    return ++this.latest;
  }

  announce(change: JobChange): void {
    for (const listener of this.listeners) listener(change);
  }

  /** @returns a function that unsubscribes */
  onChange(listener: ChangeListener): () => void {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  }
}

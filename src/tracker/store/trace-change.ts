/** What tracing stores with a change. */
export interface TraceChange {
  /** Notes on the job's spans that are not over, in the place of those before. Empty: none are needed any more. */
  readonly notes: string;
  /** Spans that are over with it. */
  readonly ended: readonly string[];
}

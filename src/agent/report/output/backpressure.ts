/** What the job's output may have to wait for: the spool, or a program that it is passed on to. */
export interface Backpressure {
  /** Whether no more should come for now. */
  readonly full: boolean;
  /** Called when `full` may have become false. */
  onRoom: () => void;
}

import type { Sort } from "./order.ts";

/** What the keys go to. */
export type Mode =
  /** The table. */
  | { readonly kind: "table" }
  | { readonly kind: "help" }
  /** Which column to sort by. */
  | { readonly kind: "sort" }
  /** The filter is typed, and counts at once; `before` comes back with Escape. */
  | { readonly kind: "filter"; readonly before: string }
  /** Whether to cancel this job: the one that was selected when it was asked, whatever has moved since. */
  | { readonly kind: "cancel"; readonly jobId: string }
  /** Why it is canceled. */
  | { readonly kind: "reason"; readonly jobId: string; readonly text: string }
  /** A text over the whole screen: the job's log, or all that is known of it. */
  | { readonly kind: "pager"; readonly what: "log" | "info"; readonly jobId: string; readonly place: Place };

/** Where in a text we are. */
export interface Place {
  /** Number of the line at the top, from the first that there ever was. Undefined: at the end, and stay there. */
  readonly top: number | undefined;
  /** Columns shifted out at the left. */
  readonly shift: number;
}

/** What a person has chosen. */
export interface Ui {
  readonly mode: Mode;
  /** Id of a job. Undefined: none was chosen yet. */
  readonly selected: string | undefined;
  /** Its place when it was last seen: what stands there is selected when the job is gone. */
  readonly at: number;
  readonly sort: Sort;
  readonly reverse: boolean;
  readonly filter: string;
  readonly showEnded: boolean;
  /** What came of the last order. Empty: nothing. Gone with the next key. */
  readonly message: string;
}

/** What a key asks for beyond another look. */
export type Effect =
  | { readonly kind: "quit" }
  | { readonly kind: "suspend" }
  | { readonly kind: "redraw" }
  | { readonly kind: "cancel"; readonly jobId: string; readonly reason: string }
  | { readonly kind: "open"; readonly what: "log" | "info"; readonly jobId: string }
  | { readonly kind: "close" }
  | { readonly kind: "load-ended" };

/** What a key's meaning depends on. */
export interface Surroundings {
  /** The jobs of the table, in order. */
  readonly ids: readonly string[];
  /** Lines that a page has. */
  readonly page: number;
  /** Lines of the open text: number of the first that is there, and how many there are. */
  readonly text: { readonly first: number; readonly count: number };
}

/** Before any key. */
export function newUi(sort: Sort, showEnded: boolean): Ui {
  const nothing = { selected: undefined, at: 0, reverse: false, filter: "", message: "" };
  return { mode: { kind: "table" }, sort, showEnded, ...nothing };
}

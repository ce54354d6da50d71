import type { Sort } from "./order.ts";

/** The part of the screen that receives the keys. */
export type Mode =
  /** The table. */
  | { readonly kind: "table" }
  | { readonly kind: "help" }
  /** Asks by which column to sort. */
  | { readonly kind: "sort" }
  /** The filter is typed and applied at once; Escape restores `before`. */
  | { readonly kind: "filter"; readonly before: string }
  /** Asks whether to cancel this job: the one that was selected when the question appeared, even if rows have moved. */
  | { readonly kind: "cancel"; readonly jobId: string }
  /** Asks why the job is canceled. */
  | { readonly kind: "reason"; readonly jobId: string; readonly text: string }
  /** A text on the whole screen: the job's log, or everything known about the job. */
  | { readonly kind: "pager"; readonly what: "log" | "info"; readonly jobId: string; readonly place: Place };

/** A position in a text. */
export interface Place {
  /** Number of the line at the top, counted from the first line ever. Undefined: follows the end. */
  readonly top: number | undefined;
  /** How many columns are shifted out at the left. */
  readonly shift: number;
}

/** What the user has chosen. */
export interface Ui {
  readonly mode: Mode;
  /** Id of a job. Undefined: the user has not chosen one yet. */
  readonly selected: string | undefined;
  /** The job's row when it was last seen: when the job is gone, the job in that row is selected. */
  readonly at: number;
  readonly sort: Sort;
  readonly reverse: boolean;
  readonly filter: string;
  readonly showEnded: boolean;
  /** Result of the last command. Empty: none. The next key clears it. */
  readonly message: string;
}

/** An action that a key requests, beyond a change of the screen. */
export type Effect =
  | { readonly kind: "quit" }
  | { readonly kind: "suspend" }
  | { readonly kind: "redraw" }
  | { readonly kind: "cancel"; readonly jobId: string; readonly reason: string }
  | { readonly kind: "open"; readonly what: "log" | "info"; readonly jobId: string }
  | { readonly kind: "close" }
  | { readonly kind: "load-ended" };

/** Facts on which the meaning of a key depends. */
export interface Surroundings {
  /** The jobs of the table, in order. */
  readonly ids: readonly string[];
  /** How many lines a page has. */
  readonly page: number;
  /** The kept lines of the open text: number of the first, and how many there are. */
  readonly text: { readonly first: number; readonly count: number };
}

/** The state before any key. */
export function newUi(sort: Sort, showEnded: boolean): Ui {
  const nothing = { selected: undefined, at: 0, reverse: false, filter: "", message: "" };
  return { mode: { kind: "table" }, sort, showEnded, ...nothing };
}

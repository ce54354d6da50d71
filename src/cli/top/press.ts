import type { Sort } from "./order.ts";
import { pagerTop } from "./view.ts";
import type { Effect, Mode, Place, Surroundings, Ui } from "./ui.ts";

/** Longest text that can be typed; the tracker allows 1024 bytes for a reason. */
const MAX_TYPED = 200;
/** By how many columns Left and Right shift a text. */
const SHIFT = 20;

/** The result of a key. */
export interface Pressed {
  readonly ui: Ui;
  readonly effect?: Effect;
}

type Of<K extends Mode["kind"]> = Extract<Mode, { kind: K }>;

/** The column by which each key of the menu sorts. */
export const SORT_KEYS: Readonly<Record<string, Sort>> = {
  c: "cpu",
  m: "memory",
  a: "age",
  s: "state",
  n: "name",
  p: "progress",
  h: "heard",
};

/** Computes what a key does. Pure, so that every key can be tested without a terminal. */
export function press(before: Ui, key: string, surroundings: Surroundings): Pressed {
  const ui = { ...before, message: "" };
  if (key === "ctrl-c") return { ui, effect: { kind: "quit" } };
  if (key === "ctrl-z") return { ui, effect: { kind: "suspend" } };
  if (key === "ctrl-l") return { ui, effect: { kind: "redraw" } };
  const { mode } = ui;
  switch (mode.kind) {
    case "table":
      return inTable(ui, key, surroundings);
    case "help":
      return { ui: to(ui, { kind: "table" }) };
    case "sort":
      return inSort(ui, key);
    case "filter":
      return inFilter(ui, mode, key);
    case "cancel":
      return inCancel(ui, mode, key);
    case "reason":
      return inReason(ui, mode, key);
    case "pager":
      return inPager(ui, mode, key, surroundings);
  }
}

function inTable(ui: Ui, key: string, surroundings: Surroundings): Pressed {
  const { ids } = surroundings;
  const selected = selectedOf(ui, ids);
  const moved = moveIn(ids.length, selected === undefined ? 0 : ids.indexOf(selected), key, surroundings.page);
  if (moved !== undefined) return { ui: { ...ui, selected: ids[moved] } };
  switch (key) {
    case "q":
      return { ui, effect: { kind: "quit" } };
    case "?":
    case "h":
      return { ui: to(ui, { kind: "help" }) };
    case "s":
      return { ui: to(ui, { kind: "sort" }) };
    case "r":
      return { ui: { ...ui, reverse: !ui.reverse } };
    case "/":
      return { ui: to(ui, { kind: "filter", before: ui.filter }) };
    case "escape":
      return { ui: { ...ui, filter: "" } };
    case "a":
      return { ui: { ...ui, showEnded: !ui.showEnded }, ...(ui.showEnded ? {} : { effect: { kind: "load-ended" } }) };
    default:
      return selected === undefined ? { ui } : onSelected({ ...ui, selected }, key, selected);
  }
}

function onSelected(ui: Ui, key: string, jobId: string): Pressed {
  switch (key) {
    case "enter":
    case "l":
      return open(ui, "log", jobId, { top: undefined, shift: 0 });
    case "i":
      return open(ui, "info", jobId, { top: 0, shift: 0 });
    case "c":
      return { ui: to(ui, { kind: "cancel", jobId }) };
    default:
      return { ui };
  }
}

function inSort(ui: Ui, key: string): Pressed {
  const table = to(ui, { kind: "table" });
  if (key === "r") return { ui: { ...table, reverse: !ui.reverse } };
  const sort = Object.hasOwn(SORT_KEYS, key) ? SORT_KEYS[key] : undefined;
  if (sort === undefined) return { ui: table };
  return { ui: { ...table, sort, reverse: sort === ui.sort ? !ui.reverse : false } };
}

function inFilter(ui: Ui, mode: Of<"filter">, key: string): Pressed {
  if (key === "enter") return { ui: to(ui, { kind: "table" }) };
  if (key === "escape") return { ui: { ...to(ui, { kind: "table" }), filter: mode.before } };
  return { ui: { ...ui, filter: typed(ui.filter, key) } };
}

function inCancel(ui: Ui, { jobId }: Of<"cancel">, key: string): Pressed {
  if (key === "y") return { ui: to(ui, { kind: "table" }), effect: { kind: "cancel", jobId, reason: "" } };
  if (key === "r") return { ui: to(ui, { kind: "reason", jobId, text: "" }) };
  return { ui: { ...to(ui, { kind: "table" }), message: `${jobId} was not canceled` } };
}

function inReason(ui: Ui, mode: Of<"reason">, key: string): Pressed {
  const { jobId, text } = mode;
  if (key === "enter") return { ui: to(ui, { kind: "table" }), effect: { kind: "cancel", jobId, reason: text.trim() } };
  if (key === "escape") return { ui: { ...to(ui, { kind: "table" }), message: `${jobId} was not canceled` } };
  return { ui: to(ui, { ...mode, text: typed(text, key) }) };
}

function inPager(ui: Ui, mode: Of<"pager">, key: string, { page, text }: Surroundings): Pressed {
  if (key === "q" || key === "escape") return { ui: to(ui, { kind: "table" }), effect: { kind: "close" } };
  const { place, jobId, what } = mode;
  if (key === "i" && what === "log") return open(ui, "info", jobId, { top: 0, shift: 0 });
  if (key === "l" && what === "info") return open(ui, "log", jobId, { top: undefined, shift: 0 });
  const go = (moved: Partial<Place>): Pressed => ({ ui: to(ui, { ...mode, place: { ...place, ...moved } }) });
  if (key === "right") return go({ shift: place.shift + SHIFT });
  if (key === "left") return go({ shift: Math.max(0, place.shift - SHIFT) });
  if (key === "end" || key === "G" || key === "f") return go({ top: undefined });
  const last = Math.max(0, text.count - page);
  const at = pagerTop(text, place, page);
  const moved = moveIn(last + 1, at, key === "g" ? "home" : key === " " ? "pagedown" : key, page);
  if (moved === undefined) return { ui };
  // Back at the end: new lines are followed again.
  return go({ top: moved >= last && what === "log" && moved > at ? undefined : text.first + moved });
}

/** The index to which a key moves among `count` rows. Undefined: the key does not move. */
function moveIn(count: number, at: number, key: string, page: number): number | undefined {
  const to = { up: at - 1, k: at - 1, down: at + 1, j: at + 1, pageup: at - page, pagedown: at + page, home: 0 }[key];
  const wanted = key === "end" || key === "G" ? count - 1 : key === "g" ? 0 : to;
  return wanted === undefined ? undefined : Math.max(0, Math.min(count - 1, wanted));
}

/** The selected job: the same as before, or, if that is gone, the job now in its row. */
export function selectedOf(ui: Ui, ids: readonly string[]): string | undefined {
  if (ui.selected !== undefined && ids.includes(ui.selected)) return ui.selected;
  return ids[Math.min(ui.at, ids.length - 1)];
}

function open(ui: Ui, what: "log" | "info", jobId: string, place: Place): Pressed {
  return { ui: to(ui, { kind: "pager", what, jobId, place }), effect: { kind: "open", what, jobId } };
}

function to(ui: Ui, mode: Mode): Ui {
  return { ...ui, mode };
}

function typed(text: string, key: string): string {
  if (key === "backspace") return text.replace(/.$/su, "");
  if (key === "ctrl-u") return "";
  return /^.$/su.test(key) && text.length < MAX_TYPED ? text + key : text;
}

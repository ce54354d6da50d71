import { describe, expect, test } from "vitest";
import type { Pressed } from "../../../src/cli/top/press.ts";
import { press, selectedOf } from "../../../src/cli/top/press.ts";
import type { Surroundings, Ui } from "../../../src/cli/top/ui.ts";
import { newUi } from "../../../src/cli/top/ui.ts";

const IDS = ["a", "b", "c", "d", "e"];
const AROUND: Surroundings = { ids: IDS, page: 2, text: { first: 0, count: 10 } };

/** What follows from some keys, one after the other. */
function after(keys: readonly string[], ui: Ui = newUi("cpu", false), around: Surroundings = AROUND): Pressed {
  return keys.reduce<Pressed>((before, key) => press(before.ui, key, around), { ui });
}

describe("In the table", () => {
  test.each([
    [["down"], "b"],
    [["j", "j", "k"], "b"],
    [["up"], "a"],
    [["pagedown"], "c"],
    [["end"], "e"],
    [["end", "down"], "e"],
    [["end", "pageup"], "c"],
    [["end", "home"], "a"],
  ])("%j selects %s", (keys, selected) => {
    expect(after(keys).ui.selected).toBe(selected);
  });

  test("a job stays selected wherever it moves; when it is gone, the job in its place is selected", () => {
    const ui: Ui = { ...newUi("cpu", false), selected: "d", at: 3 };
    expect(selectedOf(ui, ["d", "a"])).toBe("d");
    expect(selectedOf(ui, ["a", "b", "c", "e"])).toBe("e");
    expect(selectedOf(ui, ["a"])).toBe("a");
    expect(selectedOf(ui, [])).toBeUndefined();
  });

  test("keys do nothing when there is no job", () => {
    for (const key of ["c", "l", "i", "enter"]) {
      expect(after([key], undefined, { ...AROUND, ids: [] })).toMatchObject({ ui: { mode: { kind: "table" } } });
    }
  });

  test("s chooses the column to sort by, the same again reverses", () => {
    expect(after(["s", "m"]).ui).toMatchObject({ sort: "memory", reverse: false, mode: { kind: "table" } });
    expect(after(["s", "m", "s", "m"]).ui).toMatchObject({ sort: "memory", reverse: true });
    expect(after(["s", "m", "s", "m", "s", "n"]).ui).toMatchObject({ sort: "name", reverse: false });
    expect(after(["s", "r"]).ui).toMatchObject({ sort: "cpu", reverse: true });
    expect(after(["s", "toString"]).ui).toMatchObject({ sort: "cpu", reverse: false });
  });

  test("the filter applies while it is typed; Escape restores the one before", () => {
    expect(after(["/", "x", "y"]).ui.filter).toBe("xy");
    expect(after(["/", "x", "y", "backspace", "enter"]).ui).toMatchObject({ filter: "x", mode: { kind: "table" } });
    expect(after(["/", "x", "enter", "/", "y", "escape"]).ui).toMatchObject({ filter: "x", mode: { kind: "table" } });
    expect(after(["/", "x", "enter", "escape"]).ui.filter).toBe("");
    // Keys that are commands elsewhere are letters here.
    expect(after(["/", "q", "c", "pageup"]).ui.filter).toBe("qc");
  });

  test("a shows the ended jobs, and requests them", () => {
    expect(after(["a"])).toMatchObject({ ui: { showEnded: true }, effect: { kind: "load-ended" } });
    expect(after(["a", "a"])).toEqual({ ui: expect.objectContaining({ showEnded: false }) as Ui });
  });
});

describe("A job is canceled", () => {
  test("only after a yes, and only the one that was selected when the question appeared", () => {
    const asked = after(["down", "c"]).ui;
    const elsewhere = { ...AROUND, ids: ["x", "b"] };
    expect(asked.mode).toEqual({ kind: "cancel", jobId: "b" });
    expect(press(asked, "y", elsewhere).effect).toEqual({ kind: "cancel", jobId: "b", reason: "" });
    for (const key of ["n", "escape", "enter", "c", "q"]) {
      expect(press(asked, key, elsewhere).effect).toBeUndefined();
      expect(press(asked, key, elsewhere).ui.message).toBe("b was not canceled");
    }
  });

  test("with a reason, if one is typed", () => {
    expect(after(["c", "r", "n", "o", " ", "y", "enter"]).effect).toEqual({
      kind: "cancel",
      jobId: "a",
      reason: "no y",
    });
    expect(after(["c", "r", "x", "escape"])).toEqual({
      ui: expect.objectContaining({ message: "a was not canceled" }) as Ui,
    });
  });
});

describe("A text on the whole screen", () => {
  const placeOf = ({ ui }: Pressed): unknown => (ui.mode.kind === "pager" ? ui.mode.place : undefined);

  test("is opened and closed", () => {
    expect(after(["l"])).toMatchObject({ effect: { kind: "open", what: "log", jobId: "a" } });
    expect(after(["enter"])).toMatchObject({ effect: { kind: "open", what: "log", jobId: "a" } });
    expect(after(["i"])).toMatchObject({ effect: { kind: "open", what: "info", jobId: "a" } });
    expect(after(["l", "i"])).toMatchObject({ effect: { kind: "open", what: "info", jobId: "a" } });
    for (const key of ["q", "escape"]) {
      expect(after(["l", key])).toMatchObject({ ui: { mode: { kind: "table" } }, effect: { kind: "close" } });
    }
  });

  test("follows a log until it is scrolled back, and again from its end", () => {
    expect(placeOf(after(["l"]))).toEqual({ top: undefined, shift: 0 });
    expect(placeOf(after(["l", "up"]))).toEqual({ top: 7, shift: 0 });
    expect(placeOf(after(["l", "pageup", "pageup"]))).toEqual({ top: 4, shift: 0 });
    expect(placeOf(after(["l", "up", "down"]))).toEqual({ top: undefined, shift: 0 });
    expect(placeOf(after(["l", "home"]))).toEqual({ top: 0, shift: 0 });
    expect(placeOf(after(["l", "home", "end"]))).toEqual({ top: undefined, shift: 0 });
    expect(placeOf(after(["l", "right", "right", "left"]))).toEqual({ top: undefined, shift: 20 });
  });

  test("stays at its line when older ones are dropped", () => {
    const forgotten = { ...AROUND, text: { first: 100, count: 10 } };
    expect(placeOf(after(["l", "up", "up"], undefined, forgotten))).toEqual({ top: 106, shift: 0 });
    expect(placeOf(after(["l", "home"], undefined, forgotten))).toEqual({ top: 100, shift: 0 });
  });
});

test.each(["ctrl-c"])("%s quits in every mode", (key) => {
  for (const before of [[], ["?"], ["/"], ["c"], ["c", "r"], ["l"], ["s"]]) {
    expect(after([...before, key]).effect).toEqual({ kind: "quit" });
  }
});

import { textWidth } from "../terminal/text-width.ts";
import type { Line, Span } from "../terminal/line.ts";
import { edges, line, span } from "../terminal/line.ts";
import type { Ui } from "./ui.ts";

/** Keys and what they do, for the last line, which shows as many as fit. */
const TABLE_KEYS = [
  ["?", "help"],
  ["l", "log"],
  ["i", "info"],
  ["c", "cancel"],
  ["s", "sort"],
  ["/", "filter"],
  ["a", "ended"],
  ["q", "quit"],
] as const;
const LOG_KEYS = [
  ["q", "back"],
  ["End", "follow"],
  ["PgUp", "earlier"],
  ["←→", "shift"],
  ["i", "info"],
] as const;
const INFO_KEYS = [
  ["q", "back"],
  ["l", "log"],
  ["PgDn", "on"],
  ["←→", "shift"],
] as const;

/** The last line: a question, the result of a command, or the keys. `right` is the position in the list. */
export function footerLine(ui: Ui, right: string, columns: number): Line {
  const { mode } = ui;
  switch (mode.kind) {
    case "cancel":
      return line(
        span(`Cancel ${mode.jobId}, all its processes?`, "alarm"),
        span("  y", "bold"),
        " yes",
        span("  r", "bold"),
        " yes, with a reason",
        span("  n", "bold"),
        " no",
      );
    case "reason":
      return input(`Reason to cancel ${mode.jobId}`, mode.text, "Enter cancels the job, Esc goes back", columns);
    case "filter":
      return input("Filter", ui.filter, "part of id, name, state, host; or label=value", columns);
    case "sort":
      return line(
        span("Sort by", "bold"),
        ...["cpu", "memory", "age", "state", "name", "progress", "heard"].flatMap((word) => [
          "  ",
          span(word.charAt(0), "bold"),
          word.slice(1),
        ]),
        "  ",
        span("r", "bold"),
        "everse",
      );
    case "table":
      if (ui.message !== "") return edges([span(ui.message, "bold")], [span(right, "dim")], columns);
      return keyLine(TABLE_KEYS, right, columns);
    case "help":
      return line(span("any key", "bold"), span(" back", "dim"));
    case "pager":
      return keyLine(mode.what === "log" ? LOG_KEYS : INFO_KEYS, right, columns);
  }
}

function keyLine(keys: readonly (readonly [key: string, does: string])[], right: string, columns: number): Line {
  const spans = keys.flatMap(([key, does]): Span[] => [span(key, "bold"), span(` ${does}  `, "dim")]);
  return edges(spans, [span(right, "dim")], columns);
}

/** Typed text with a mark for the cursor, and a hint if there is room. */
function input(label: string, text: string, hint: string, columns: number): Line {
  const room = Math.max(8, columns - textWidth(label) - 4);
  const shown = text.length > room ? text.slice(-room) : text;
  const left = [span(`${label}: `, "bold"), span(shown), span("_", "bold")];
  const used = left.reduce((width, piece) => width + textWidth(piece.text), 0);
  return used + textWidth(hint) + 3 <= columns ? line(...left, span(`   ${hint}`, "dim")) : line(...left);
}

import { formatSize } from "../../../contract/sizes.ts";
import { type FailureCard, LogStream } from "../../../gen/belay/v1/job_pb.ts";
import { clean } from "../clean.ts";
import { TerminalFilter } from "../terminal-filter.ts";

/** Most lines of the tail that are shown; `--json` has all of it. */
const MOST_LINES = 40;
/** Share of the memory limit from which the peak is worth a remark. */
const NEAR_LIMIT = 0.8;

/** What a card says besides the tail, as names with values; an empty value is not shown. */
export function cardFacts(card: FailureCard): [name: string, value: string][] {
  const { peakMemoryBytes: peak, memoryLimitBytes: limit } = card;
  return [
    ["Memory", limit === 0n ? "" : `${formatSize(peak)} at most, limit ${formatSize(limit)}`],
    ["Killed", card.killed === "" ? "" : `${clean(card.killed)}, by the kernel for want of memory`],
    ["Hint", clean(card.hint)],
  ];
}

/** The end of the job's output under a heading, each line with the indent before it; empty if there is no tail. */
export function tailText(card: FailureCard, indent: string): string {
  const lines = tailLines(card.tail);
  if (lines.length === 0) return "";
  const what = card.tailStream === LogStream.STDERR ? "error" : "output";
  const shown = lines.slice(-MOST_LINES).map((line) => `${indent}  | ${line}`.trimEnd());
  return `${indent}Last lines of standard ${what}\n${shown.join("\n")}\n`;
}

/**
 * The card as remarks of a command.
 *
 * @param withTail whether the reader has not seen the job's output
 */
export function cardRemarks(card: FailureCard | undefined, withTail: boolean): string {
  if (card === undefined) return "";
  const showsMemory = Number(card.peakMemoryBytes) >= NEAR_LIMIT * Number(card.memoryLimitBytes) || card.killed !== "";
  const facts = cardFacts(card).filter(([name, value]) => value !== "" && (name !== "Memory" || showsMemory));
  return (withTail ? tailText(card, "") : "") + facts.map(([name, value]) => `belay: ${name}: ${value}\n`).join("");
}

/** Lines without colours and control sequences. Of a line that overwrites itself, what a terminal shows last. */
function tailLines(tail: Uint8Array): string[] {
  const filter = new TerminalFilter();
  const text = Buffer.concat([filter.push(tail), filter.end()])
    .toString("utf8")
    // eslint-disable-next-line no-control-regex
    .replaceAll(/\u001b\[[\d;:]*m/g, "")
    .trimEnd();
  if (text === "") return [];
  return text.split("\n").map((line) => line.split("\r").findLast((part) => part !== "") ?? "");
}

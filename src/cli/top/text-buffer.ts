import { StringDecoder } from "node:string_decoder";
import { stripVTControlCharacters } from "node:util";
import type { LogChunk } from "../../gen/belay/v1/tracker_service_pb.ts";
import { LogStream } from "../../gen/belay/v1/job_pb.ts";
import { clean } from "../render/clean.ts";
import { gapText } from "../render/log-printer.ts";
import type { Line } from "../terminal/line.ts";
import { line, span } from "../terminal/line.ts";

/** Most lines that are kept for scrolling back. */
const MAX_LINES = 10_000;
/** Most characters of these lines together. */
const MAX_CHARACTERS = 4_000_000;
/** A longer line is split. */
const MAX_LINE = 8_192;

/** One line of a log. */
interface Kept {
  readonly text: string;
  readonly stream: LogStream;
}

/**
 * The last lines of a log, up to a bound. Older lines are dropped but counted, so that a line keeps its number.
 */
export class TextBuffer {
  private lines: Kept[] = [];
  private characters = 0;
  /** The unfinished line of each stream. */
  private readonly open = new Map<LogStream, { text: string; readonly decoder: StringDecoder }>();
  private forgotten = 0;

  /** Number of the first line that is kept. */
  get first(): number {
    return this.forgotten;
  }

  get count(): number {
    return this.lines.length + this.openLines().length;
  }

  push(chunk: LogChunk): void {
    const { stream, content } = chunk;
    if (content.case === "gap") this.keep(`belay: ${gapText(content.value, stream)}`, LogStream.AGENT);
    if (content.case !== "data") return;
    let open = this.open.get(stream);
    if (open === undefined) {
      open = { text: "", decoder: new StringDecoder("utf8") };
      this.open.set(stream, open);
    }
    const parts = (open.text + open.decoder.write(Buffer.from(content.value))).split("\n");
    open.text = parts.pop() ?? "";
    for (const part of parts) this.keepLong(part, stream);
    while (open.text.length > MAX_LINE) {
      this.keep(open.text.slice(0, MAX_LINE), stream);
      open.text = open.text.slice(MAX_LINE);
    }
  }

  /** Adds a line of our own. */
  remark(text: string): void {
    this.keep(text, LogStream.AGENT);
  }

  /** Some lines, ready to be shown: without control sequences, and with the agent's lines marked. */
  slice(from: number, to: number): Line[] {
    return [...this.lines, ...this.openLines()].slice(from, to).map(shown);
  }

  private openLines(): Kept[] {
    return [...this.open].flatMap(([stream, { text }]) => (text === "" ? [] : [{ text, stream }]));
  }

  private keepLong(text: string, stream: LogStream): void {
    for (let at = 0; at === 0 || at < text.length; at += MAX_LINE) this.keep(text.slice(at, at + MAX_LINE), stream);
  }

  private keep(text: string, stream: LogStream): void {
    this.lines.push({ text, stream });
    this.characters += text.length;
    // Drops lines only when the bound is exceeded by a quarter, so that dropping costs little per line.
    if (this.lines.length > 1.25 * MAX_LINES || this.characters > 1.25 * MAX_CHARACTERS) this.forget();
  }

  private forget(): void {
    let gone = Math.max(0, this.lines.length - MAX_LINES);
    for (let at = 0; at < gone; at++) this.characters -= this.lines[at]?.text.length ?? 0;
    while (this.characters > MAX_CHARACTERS) this.characters -= this.lines[gone++]?.text.length ?? 0;
    this.lines = this.lines.slice(gone);
    this.forgotten += gone;
  }
}

/** A line to show. If it was overwritten (`\r`), its last state is shown, as on a terminal. */
function shown({ text, stream }: Kept): Line {
  const plain = stripVTControlCharacters(text.replace(/\r+$/, ""));
  const last = plain.slice(plain.lastIndexOf("\r") + 1);
  const cleaned = clean(last.replaceAll("\t", "        "));
  if (stream === LogStream.AGENT)
    return line(span(cleaned.startsWith("belay: ") ? cleaned : `belay: ${cleaned}`, "dim"));
  return line(cleaned);
}

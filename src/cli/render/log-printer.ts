import { formatSize } from "../../contract/sizes.ts";
import { LogStream } from "../../gen/belay/v1/job_pb.ts";
import type { Gap, LogChunk } from "../../gen/belay/v1/tracker_service_pb.ts";
import { GapReason } from "../../gen/belay/v1/tracker_service_pb.ts";
import type { Output } from "../process/io.ts";
import { TerminalFilter } from "./terminal-filter.ts";
import { streamName } from "../../contract/names.ts";

const NEWLINE = 0x0a;

/** How a log is printed. */
export interface LogPrinterOptions {
  /**
   * Whether only one stream was requested: its bytes are written unchanged, and gaps are reported on standard error.
   */
  readonly exact: boolean;
  /** Whether control sequences are made visible, because the output is a terminal. */
  readonly neutralize: boolean;
}

/**
 * Prints chunks of a log in the order in which they arrive. Law: with `exact` and without `neutralize`, standard output
 * gets exactly the bytes of the log.
 */
export class LogPrinter {
  private readonly stdout: Output;
  private readonly stderr: Output;
  private readonly options: LogPrinterOptions;
  private readonly filters = new Map<LogStream, TerminalFilter>();
  /** Whether the next byte begins a line. If not, a message of the agent would continue a line of the job. */
  private atLineStart = true;
  private agentAtLineStart = true;

  constructor(stdout: Output, stderr: Output, options: LogPrinterOptions) {
    this.stdout = stdout;
    this.stderr = stderr;
    this.options = options;
  }

  async print(chunk: LogChunk): Promise<void> {
    if (chunk.content.case === "gap") {
      const line = `belay: ${gapText(chunk.content.value, chunk.stream)}\n`;
      if (this.options.exact) await this.stderr.write(line);
      else await this.write(Buffer.from(this.atLineStart ? line : `\n${line}`));
    } else if (chunk.content.case === "data") {
      const bytes = this.neutralized(chunk.stream, chunk.content.value);
      if (this.options.exact || chunk.stream !== LogStream.AGENT) await this.write(bytes);
      else await this.write(this.remark(bytes));
    }
  }

  /** Prints bytes that were held back within a sequence. */
  async end(): Promise<void> {
    for (const filter of this.filters.values()) await this.write(filter.end());
  }

  private neutralized(stream: LogStream, data: Uint8Array): Uint8Array {
    if (!this.options.neutralize) return data;
    let filter = this.filters.get(stream);
    if (filter === undefined) {
      filter = new TerminalFilter();
      this.filters.set(stream, filter);
    }
    return filter.push(data);
  }

  /** Marks each line of the agent, so that it does not look like the job's output. */
  private remark(data: Uint8Array): Uint8Array {
    let text = Buffer.from(data).toString("latin1");
    const endsLine = text.endsWith("\n");
    const body = endsLine ? text.slice(0, -1) : text;
    text = (this.agentAtLineStart ? "belay: " : "") + body.replaceAll("\n", "\nbelay: ") + (endsLine ? "\n" : "");
    if (this.agentAtLineStart && !this.atLineStart) text = `\n${text}`;
    this.agentAtLineStart = endsLine;
    return Buffer.from(text, "latin1");
  }

  private async write(bytes: Uint8Array): Promise<void> {
    if (bytes.length === 0) return;
    this.atLineStart = bytes.at(-1) === NEWLINE;
    await this.stdout.write(bytes);
  }
}

/** `1.2 MiB of stdout are missing here: the agent's spool was full`. */
export function gapText(gap: Gap, stream: LogStream): string {
  return `${formatSize(gap.bytes)} of ${streamName(stream)} are missing here: ${gapReason(gap.reason)}`;
}

function gapReason(reason: GapReason): string {
  switch (reason) {
    case GapReason.SPOOL_FULL:
      return "the agent's spool was full";
    case GapReason.LOG_LIMIT:
      return "the job's log limit was reached";
    case GapReason.SPOOL_DAMAGED:
      return "the agent's spool was damaged";
    case GapReason.LOG_DAMAGED:
      return "the tracker's log is damaged";
    default:
      return "the agent gives no reason";
  }
}

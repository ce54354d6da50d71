import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ClientHttp2Session, ClientHttp2Stream } from "node:http2";
import { connect } from "node:http2";
import { setTimeout as sleep } from "node:timers/promises";
import { CommandKind, JobState, LogStream } from "../../../src/gen/belay/v1/job_pb.ts";
import {
  OpenSessionRequestSchema,
  OpenSessionResponseSchema,
  TrackerService,
} from "../../../src/gen/belay/v1/tracker_service_pb.ts";

const FRAME_HEADER_BYTES = 5;
const HEARTBEAT_MS = 10_000;
/** How long an agent's batch stays open, and its most bytes. */
const BATCH_MS = 50;
const MOST_BATCH_BYTES = 65_536;
/** Output that may be under way without an ack. */
const WINDOW_BYTES = 4 << 20;
const COMMANDS = [CommandKind.CANCEL, CommandKind.STATUS];

/** A simulated agent with its own connection. It costs as little as possible, because thousands share a process. */
export class LoadAgent {
  readonly jobId: string;
  readonly welcomed: Promise<void>;
  /** Milliseconds from the write of a batch to its ack. */
  readonly lags: number[] = [];
  private readonly session: ClientHttp2Session;
  private readonly stream: ClientHttp2Stream;
  private readonly sentAt = new Map<number, number>();
  private unread: Buffer = Buffer.alloc(0);
  private sequence = 0;
  private offset = 0n;
  private acked = 0;
  private welcome: () => void = () => undefined;
  private readonly command: () => void;
  private timer: NodeJS.Timeout | undefined;
  private closed = false;
  private ending = "it ended";

  /**
   * @param command called when a command arrives
   * @param lost called with the reason when the stream ends and `close` was not called
   */
  constructor(address: string, jobId: string, command: () => void, lost: (why: string) => void) {
    this.jobId = jobId;
    this.command = command;
    this.session = connect(address);
    this.stream = this.session.request({
      ":method": "POST",
      ":path": `/${TrackerService.typeName}/${TrackerService.method.openSession.name}`,
      "content-type": "application/grpc+proto",
      te: "trailers",
    });
    this.welcomed = new Promise((resolve, reject) => {
      this.welcome = resolve;
      const broken = (error?: Error): void => {
        if (this.closed) return;
        this.close();
        reject(error ?? new Error(`The stream of "${jobId}" ended`));
        lost(error?.message ?? this.ending);
      };
      this.session.on("error", broken);
      this.stream.on("error", broken);
      this.stream.once("trailers", (trailers) => {
        this.ending = `status ${trailers["grpc-status"]}: ${trailers["grpc-message"]}`;
      });
      this.stream.once("close", broken);
    });
    this.stream.on("data", (chunk: Buffer) => this.take(chunk));
    this.send({
      case: "hello",
      value: {
        sessionId: crypto.randomUUID(),
        jobId,
        state: JobState.RUNNING,
        supportedCommands: COMMANDS,
        spec: { command: ["true"] },
      },
    });
  }

  /** Sends output at a rate, in batches like those of an agent, at most 4 MiB ahead of the acks. */
  async log(bytesPerSecond: number, signal: AbortSignal): Promise<void> {
    const size = Math.min(MOST_BATCH_BYTES, Math.ceil((bytesPerSecond * BATCH_MS) / 1000));
    const window = Math.ceil(WINDOW_BYTES / size);
    const period = (size / bytesPerSecond) * 1000;
    const data = Buffer.alloc(size, "0123456789abcdef 0123456789abcdef 0123456789\n");
    // Agents must not print at the same time: each begins at a random moment of the first period.
    let due = performance.now() + Math.random() * period;
    while (!signal.aborted) {
      await sleep(Math.max(1, due - performance.now()));
      // A job that had to wait does not print faster afterwards.
      due = Math.max(due + period, performance.now() - period);
      if (this.sequence - this.acked > window) continue;
      this.sequence++;
      this.sentAt.set(this.sequence, performance.now());
      const readUnixNano = BigInt(Date.now()) * 1_000_000n;
      const chunk = { stream: LogStream.STDOUT, step: 1, offset: this.offset, readUnixNano };
      this.offset += BigInt(size);
      const chunks = [{ ...chunk, content: { case: "data" as const, value: data } }];
      this.send({ case: "logBatch", value: { sequence: BigInt(this.sequence), chunks } });
    }
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
    this.session.destroy();
  }

  private send(payload: NonNullable<MessageInitShape<typeof OpenSessionRequestSchema>["payload"]>): void {
    const message = toBinary(OpenSessionRequestSchema, create(OpenSessionRequestSchema, { payload }));
    const frame = Buffer.allocUnsafe(FRAME_HEADER_BYTES + message.byteLength);
    frame.writeUInt8(0, 0);
    frame.writeUInt32BE(message.byteLength, 1);
    frame.set(message, FRAME_HEADER_BYTES);
    this.stream.write(frame);
  }

  private take(chunk: Buffer): void {
    this.unread = this.unread.length === 0 ? chunk : Buffer.concat([this.unread, chunk]);
    while (this.unread.length >= FRAME_HEADER_BYTES) {
      const end = FRAME_HEADER_BYTES + this.unread.readUInt32BE(1);
      if (this.unread.length < end) return;
      const { payload } = fromBinary(OpenSessionResponseSchema, this.unread.subarray(FRAME_HEADER_BYTES, end));
      this.unread = this.unread.subarray(end);
      if (payload.case === "welcome") {
        this.welcome();
        // Spread over the interval, like agents that were started one after the other.
        this.timer = setTimeout(() => this.beat(), Math.random() * HEARTBEAT_MS);
      } else if (payload.case === "command") this.command();
      else if (payload.case === "ack") this.confirm(Number(payload.value.logs));
    }
  }

  private confirm(logs: number): void {
    const now = performance.now();
    for (; this.acked < logs; this.acked++) {
      const at = this.sentAt.get(this.acked + 1);
      if (at !== undefined) this.lags.push(now - at);
      this.sentAt.delete(this.acked + 1);
    }
  }

  private beat(): void {
    if (this.closed) return;
    this.send({ case: "heartbeat", value: { nonce: 1n, state: JobState.RUNNING } });
    this.timer = setTimeout(() => this.beat(), HEARTBEAT_MS);
  }
}

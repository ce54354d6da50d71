import type { MessageInitShape } from "@bufbuild/protobuf";
import { create } from "@bufbuild/protobuf";
import type { ChannelCredentials, ClientDuplexStream } from "@grpc/grpc-js";
import { Client, Metadata, credentials } from "@grpc/grpc-js";
import { crc32 } from "node:zlib";
import { grpcMethod } from "../../src/base/grpc-service.ts";
import { COMMAND_KINDS } from "../../src/contract/commands.ts";
import { uuidv7 } from "../../src/base/ids.ts";
import type { StreamTotals } from "../../src/gen/belay/v1/job_pb.ts";
import {
  EndReason,
  JobResultSchema,
  JobState,
  LogStream,
  Outcome,
  StreamTotalsSchema,
} from "../../src/gen/belay/v1/job_pb.ts";
import type {
  LogChunkSchema,
  OpenSessionRequest,
  OpenSessionResponse,
  Welcome,
} from "../../src/gen/belay/v1/tracker_service_pb.ts";
import {
  EventSchema,
  HelloSchema,
  LogBatchSchema,
  OpenSessionRequestSchema,
  TrackerService,
} from "../../src/gen/belay/v1/tracker_service_pb.ts";

type Payload = NonNullable<MessageInitShape<typeof OpenSessionRequestSchema>["payload"]>;
type Kind = NonNullable<MessageInitShape<typeof EventSchema>["kind"]>;
type Answer = OpenSessionResponse["payload"];
type AnswerKind = NonNullable<Answer["case"]>;
type AnswerValue<C extends AnswerKind> = Extract<Answer, { case: C }>["value"];

/** How a stream ended. */
export interface StreamEnd {
  /** Status code of gRPC; 0 is OK. */
  readonly code: number;
  readonly details: string;
}

/** An agent that does what a test says, and nothing else: one gRPC stream with grpc-js. */
export class ScriptedAgent {
  readonly sessionId: string;
  readonly jobId: string;
  /** Everything that came, in order. */
  readonly received: Answer[] = [];
  /** How the stream ended. */
  readonly ended: Promise<StreamEnd>;
  private readonly client: Client;
  private readonly call: ClientDuplexStream<OpenSessionRequest | Buffer, OpenSessionResponse>;
  private readonly waiting = new Set<() => void>();
  private nextEvent = 1n;
  private nextBatch = 1n;
  private readonly sums = new Map<LogStream, { bytes: number; lines: number; crc: number }>();
  private over: StreamEnd | undefined;

  /** @param address as `Tracker.address` */
  constructor(
    address: string,
    jobId: string,
    options: { sessionId?: string; token?: string; credentials?: ChannelCredentials } = {},
  ) {
    this.jobId = jobId;
    this.sessionId = options.sessionId ?? uuidv7();
    const metadata = new Metadata();
    if (options.token !== undefined) metadata.set("authorization", `Bearer ${options.token}`);
    const target = address.startsWith("unix:") ? address : address.replace(/^https?:\/\//, "");
    this.client = new Client(target, options.credentials ?? credentials.createInsecure(), {
      "grpc.use_local_subchannel_pool": 1,
      "grpc.per_rpc_retry_buffer_size": 0,
      "grpc.enable_retries": 0,
    });
    const method = grpcMethod(TrackerService.method.openSession);
    this.call = this.client.makeBidiStreamRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      metadata,
    );
    this.call.on("data", (message: OpenSessionResponse) => {
      this.received.push(message.payload);
      this.rouse();
    });
    // The status tells all.
    this.call.on("error", () => undefined);
    this.ended = new Promise((resolve) => {
      this.call.on("status", ({ code, details }: StreamEnd) => {
        this.over = { code, details };
        this.rouse();
        this.client.close();
        resolve(this.over);
      });
    });
  }

  /** Says Hello, waits for Welcome, and numbers the records after what it says is committed. */
  async hello(fields: MessageInitShape<typeof HelloSchema> = {}): Promise<Welcome> {
    this.sayHello(fields);
    const { value } = await this.next("welcome");
    this.nextEvent = (value.committed?.events ?? 0n) + 1n;
    this.nextBatch = (value.committed?.logs ?? 0n) + 1n;
    return value;
  }

  sayHello(fields: MessageInitShape<typeof HelloSchema> = {}): void {
    const { sessionId, jobId } = this;
    const value = create(HelloSchema, {
      sessionId,
      jobId,
      state: JobState.PENDING,
      supportedCommands: Object.values(COMMAND_KINDS),
      ...fields,
    });
    this.send({ case: "hello", value });
  }

  /** Sends a message as it is. Returns false when gRPC wants to be waited for. */
  send(payload: Payload): boolean {
    return this.call.write(create(OpenSessionRequestSchema, { payload }));
  }

  /** Sends bytes in the place of an encoded message. */
  sendBytes(bytes: Buffer): boolean {
    return this.call.write(bytes);
  }

  /** Sends an event with the next number. Returns the number. */
  event(kind: Kind): bigint {
    const sequence = this.nextEvent++;
    this.send({ case: "event", value: create(EventSchema, { sequence, kind }) });
    return sequence;
  }

  state(state: JobState): bigint {
    return this.event({ case: "stateChange", value: { state } });
  }

  /** Sends a batch of one chunk at the right offset, with the next number. Returns the number. */
  print(text: string | Uint8Array, stream: LogStream = LogStream.STDOUT, step = 1): bigint {
    const data = typeof text === "string" ? Buffer.from(text) : text;
    const sums = this.sums.get(stream) ?? { bytes: 0, lines: 0, crc: 0 };
    const offset = BigInt(sums.bytes);
    sums.bytes += data.byteLength;
    sums.crc = crc32(data, sums.crc);
    for (const byte of data) if (byte === 0x0a) sums.lines++;
    this.sums.set(stream, sums);
    const readUnixNano = BigInt(Date.now()) * 1_000_000n;
    return this.batch([{ stream, step, offset, readUnixNano, content: { case: "data", value: data } }]);
  }

  /** Sends a batch with the next number, or with another one. Returns the number. */
  batch(chunks: MessageInitShape<typeof LogChunkSchema>[], sequence: bigint = this.nextBatch++): bigint {
    this.send({ case: "logBatch", value: create(LogBatchSchema, { sequence, chunks }) });
    return sequence;
  }

  /** What was printed so far, as a result says it. */
  totals(): StreamTotals[] {
    return [...this.sums].map(([stream, { bytes, lines, crc }]) =>
      create(StreamTotalsSchema, { stream, bytes: BigInt(bytes), lines: BigInt(lines), crc32: crc }),
    );
  }

  /** Takes over from an agent of the same session whose stream has ended. */
  follow(other: ScriptedAgent): this {
    for (const [stream, sums] of other.sums) this.sums.set(stream, { ...sums });
    return this;
  }

  /** Counts pieces of standard output as printed that an earlier stream has delivered. */
  countDelivered(pieces: readonly string[]): void {
    const data = Buffer.from(pieces.join(""));
    this.sums.set(LogStream.STDOUT, {
      bytes: data.byteLength,
      lines: data.toString("latin1").split("\n").length - 1,
      crc: crc32(data),
    });
  }

  /** Reports the end of the job, by default a success with the totals of what was printed. */
  result(fields: Omit<MessageInitShape<typeof JobResultSchema>, "$typeName"> = {}): bigint {
    const value = create(JobResultSchema, {
      outcome: Outcome.SUCCEEDED,
      reason: EndReason.EXITED,
      exitCode: 0,
      streams: this.totals(),
      ...fields,
    });
    return this.event({ case: "result", value });
  }

  heartbeat(nonce: bigint, logs?: bigint): void {
    const value = { nonce, ...(logs === undefined ? {} : { logs: { lastProduced: logs } }) };
    this.send({ case: "heartbeat", value });
  }

  /** Waits for a message of a kind that no earlier call has taken; takes it. */
  async next<C extends AnswerKind>(
    kind: C,
    wanted: (value: AnswerValue<C>) => boolean = () => true,
  ): Promise<{ value: AnswerValue<C> }> {
    for (;;) {
      const at = this.received.findIndex((answer) => answer.case === kind && wanted(answer.value as AnswerValue<C>));
      if (at >= 0) return { value: this.received.splice(at, 1)[0]?.value as AnswerValue<C> };
      if (this.over !== undefined) {
        throw new Error(`The stream ended with ${this.over.code} "${this.over.details}" before a ${kind} came`);
      }
      await new Promise<void>((resolve) => this.waiting.add(resolve));
    }
  }

  /** Waits until the tracker has confirmed both numbers. */
  async acked(events: bigint, logs: bigint): Promise<void> {
    await this.next("ack", (ack) => ack.events >= events && ack.logs >= logs);
  }

  /** Waits until gRPC takes more. */
  drained(): Promise<void> {
    return new Promise((resolve) => this.call.once("drain", resolve));
  }

  /** Half-closes. */
  end(): void {
    this.call.end();
  }

  /** Goes without a word, as a killed process does. */
  vanish(): void {
    this.call.cancel();
    this.client.close();
  }

  private rouse(): void {
    for (const resolve of this.waiting) resolve();
    this.waiting.clear();
  }
}

// Longer than 300 lines: it is one class with a method for each thing that an agent may say, as a test reads.
import type { MessageInitShape } from "@bufbuild/protobuf";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { ChannelCredentials } from "@grpc/grpc-js";
import { Client, credentials, Metadata } from "@grpc/grpc-js";
import { COMMAND_KINDS } from "../contract/commands.ts";
import { grpcMethod } from "../base/network/grpc-service.ts";
import { uuidv7 } from "../base/ids.ts";
import { messageProblem } from "../base/message-problem.ts";
import { checkOptions, milliseconds, required, type Rules, text } from "../base/options.ts";
import type { JobResultSchema, StreamTotals } from "../gen/belay/v1/job_pb.ts";
import { CommandState, EndReason, JobSpecSchema, JobState, LogStream, Outcome } from "../gen/belay/v1/job_pb.ts";
import type {
  Command,
  EventSchema,
  HelloSchema,
  LogChunkSchema,
  Receipt,
  Welcome,
} from "../gen/belay/v1/tracker_service_pb.ts";
import { OpenSessionRequestSchema, TrackerService } from "../gen/belay/v1/tracker_service_pb.ts";
import type { AgentStream, Answer, AnswerKind, AnswerOf, StreamEnd } from "./inbox.ts";
import { Inbox } from "./inbox.ts";
import { Printed } from "./printed.ts";

/** See ScriptedAgent.connect. */
export interface AgentConnection {
  /** Address of the tracker, such as TestTracker.url. */
  readonly url: string;
  readonly jobId: string;
  /** Id of the agent's session. @default a new one */
  readonly sessionId?: string;
  /** Longest wait for one message, in milliseconds. @default 10_000 */
  readonly timeout?: number;
  /** Sent as `authorization: Bearer`. */
  readonly token?: string;
  /** Channel credentials of grpc-js, for a tracker with TLS. @default plaintext */
  readonly credentials?: ChannelCredentials;
}

/** See ScriptedAgent.join. */
export interface ScriptedAgentOptions extends AgentConnection {
  /** The spec that it sends with Hello. Absent: it uses the one that the tracker has. */
  readonly spec?: MessageInitShape<typeof JobSpecSchema>;
}

const CONNECTION: Rules<AgentConnection> = {
  url: required({
    expected: 'an address such as "http://127.0.0.1:7070" or "unix:/path"',
    accepts: (value) => typeof value === "string" && (value.startsWith("unix:") || URL.canParse(value)),
  }),
  jobId: required(text("the id of a job")),
  sessionId: text("the id of a session"),
  timeout: milliseconds(),
  token: text("a token"),
  credentials: { expected: "credentials of grpc-js", accepts: (value) => typeof value === "object" },
};

const RULES: Rules<ScriptedAgentOptions> = {
  ...CONNECTION,
  spec: { expected: "a JobSpec", accepts: (value) => messageProblem(JobSpecSchema, value) === undefined },
};

type Hello = MessageInitShape<typeof HelloSchema>;
type Payload = NonNullable<MessageInitShape<typeof OpenSessionRequestSchema>["payload"]>;
type EventKind = NonNullable<MessageInitShape<typeof EventSchema>["kind"]>;
type Result = Omit<MessageInitShape<typeof JobResultSchema>, "$typeName">;

/**
 * An agent without processes, which the test controls. With it, a platform's own code can be tested against jobs that
 * print, hang, get lost or fail on demand.
 *
 * ```ts
 * await using agent = await ScriptedAgent.join({ url: tracker.url, jobId: "j1", spec: { command: ["train"] } });
 * agent.state("RUNNING");
 * agent.print("epoch 1\n");
 * await agent.end({ exitCode: 3 });
 * ```
 *
 * A test of a tracker or of a proxy needs single messages: `connect` opens a stream without sending Hello, `send` and
 * `sendBytes` send any message or bytes, also invalid ones, `next` waits for a message, and `ended` resolves with the
 * stream's status.
 *
 * ```ts
 * const agent = ScriptedAgent.connect({ url: proxy.url, jobId: "j1", token: "expired" });
 * agent.sayHello();
 * expect(await agent.ended).toMatchObject({ code: 16 });
 * ```
 */
export class ScriptedAgent {
  readonly sessionId: string;
  readonly jobId: string;
  /** How the stream ended; never rejects. */
  readonly ended: Promise<StreamEnd>;
  private readonly client: Client;
  private readonly stream: AgentStream;
  private readonly inbox: Inbox;
  private readonly printed = new Printed();
  private eventSequence = 0n;
  private logSequence = 0n;
  private answer: Welcome | undefined;

  private constructor(options: AgentConnection) {
    this.jobId = options.jobId;
    this.sessionId = options.sessionId ?? uuidv7();
    const metadata = new Metadata();
    if (options.token !== undefined) metadata.set("authorization", `Bearer ${options.token}`);
    const target = options.url.startsWith("unix:") ? options.url : new URL(options.url).host;
    this.client = new Client(target, options.credentials ?? credentials.createInsecure(), {
      // Each agent has its own connection, and gRPC sends nothing twice.
      "grpc.use_local_subchannel_pool": 1,
      "grpc.per_rpc_retry_buffer_size": 0,
      "grpc.enable_retries": 0,
    });
    const { path, requestSerialize, responseDeserialize } = grpcMethod(TrackerService.method.openSession);
    this.stream = this.client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, metadata);
    this.inbox = new Inbox(this.stream, options.timeout ?? 10_000);
    this.ended = this.inbox.ended;
    void this.ended.then(() => this.client.close());
  }

  /** Opens a stream and sends nothing yet. @throws BelayError `BAD_USAGE` */
  static connect(options: AgentConnection): ScriptedAgent {
    return new ScriptedAgent(checkOptions("ScriptedAgent.connect", options, CONNECTION));
  }

  /** Opens a stream and sends Hello. @throws BelayError `BAD_USAGE`, or the gRPC error of a tracker that rejects it */
  static async join(given: ScriptedAgentOptions): Promise<ScriptedAgent> {
    const { spec, ...connection } = checkOptions("ScriptedAgent.join", given, RULES);
    const agent = new ScriptedAgent(connection);
    const info = { version: "scripted", hostname: "test", pid: process.pid };
    try {
      await agent.hello({ agent: info, ...(spec === undefined ? {} : { spec }) });
    } catch (error) {
      agent.vanish();
      throw error;
    }
    return agent;
  }

  /** The tracker's answer to Hello. @throws before `hello` has resolved */
  get welcome(): Welcome {
    if (this.answer === undefined) throw new Error("The agent has not been welcomed: wait for hello() first");
    return this.answer;
  }

  /** Received messages that `next` has not returned, in order of arrival. */
  get received(): readonly Answer[] {
    return this.inbox.received;
  }

  /**
   * Sends Hello and waits for Welcome. Later records get the numbers after those that Welcome reports as committed.
   *
   * @param fields of Hello that replace the usual ones
   * @throws the gRPC error with which the tracker rejects it
   */
  async hello(fields: Hello = {}): Promise<Welcome> {
    this.sayHello(fields);
    this.answer = await this.next("welcome");
    this.eventSequence = this.answer.committed?.events ?? 0n;
    this.logSequence = this.answer.committed?.logs ?? 0n;
    return this.answer;
  }

  /** Sends Hello without waiting for an answer. */
  sayHello(fields: Hello = {}): void {
    const { sessionId, jobId } = this;
    const usual = { sessionId, jobId, state: JobState.PENDING, supportedCommands: Object.values(COMMAND_KINDS) };
    this.send({ case: "hello", value: { ...usual, ...fields } as Hello });
  }

  /** Sends any message unchanged. @returns false when gRPC asks for a pause: see `drained` */
  send(payload: Payload): boolean {
    return this.stream.write(create(OpenSessionRequestSchema, { payload }));
  }

  /** Sends bytes instead of an encoded message. @returns as `send` */
  sendBytes(bytes: Buffer): boolean {
    return this.stream.write(bytes);
  }

  /** Waits until gRPC accepts more. */
  drained(): Promise<void> {
    return new Promise((resolve) => this.stream.once("drain", resolve));
  }

  /** Sends a record in the lane of events. @returns its number */
  event(kind: EventKind): bigint {
    const value = { sequence: ++this.eventSequence, eventTime: timestampFromMs(Date.now()), kind };
    this.send({ case: "event", value });
    return this.eventSequence;
  }

  /** Reports that the job is in another state. @returns the number of the event */
  state(state: "SETTING_UP" | "RUNNING" | "PAUSED" | "CANCELING"): bigint {
    return this.event({ case: "stateChange", value: { state: JobState[state] } });
  }

  /** Sends output, as if the job had printed it. @returns the number of the batch */
  print(data: string | Uint8Array, stream: LogStream = LogStream.STDOUT, step = 1): bigint {
    const value = typeof data === "string" ? new TextEncoder().encode(data) : data;
    const offset = this.printed.add(stream, value);
    const readUnixNano = BigInt(Date.now()) * 1_000_000n;
    return this.batch([{ stream, step, offset, readUnixNano, content: { case: "data", value } }]);
  }

  /** Sends a batch in the lane of logs unchanged, with the next number or another one. @returns the number */
  batch(chunks: MessageInitShape<typeof LogChunkSchema>[], sequence: bigint = ++this.logSequence): bigint {
    this.send({ case: "logBatch", value: { sequence, chunks } });
    return sequence;
  }

  /** Totals of the output so far, as a result contains them. */
  totals(): StreamTotals[] {
    return this.printed.totals();
  }

  /** Continues the output of an earlier agent of the session: offsets and totals begin where that one ended. */
  follow(other: ScriptedAgent): this {
    this.printed.copy(other.printed);
    return this;
  }

  /** Counts pieces as printed on standard output that an earlier stream has delivered. */
  countDelivered(pieces: readonly string[]): void {
    this.printed.replace(pieces.join(""));
  }

  /** Sends a heartbeat and waits for its reply. */
  async heartbeat(state: JobState = JobState.RUNNING): Promise<void> {
    this.beat(1n, { state });
    await this.next("heartbeatReply");
  }

  /** Sends a heartbeat without waiting for its reply. @param logs number of the last batch made, as it is reported */
  beat(nonce: bigint, { state, logs }: { readonly state?: JobState; readonly logs?: bigint } = {}): void {
    const sendUnixNano = BigInt(Date.now()) * 1_000_000n;
    const rest = { ...(state && { state }), ...(logs !== undefined && { logs: { lastProduced: logs } }) };
    this.send({ case: "heartbeat", value: { nonce, streams: 1, sendUnixNano, ...rest } });
  }

  /**
   * Waits for the oldest message of a kind that no earlier call has returned.
   *
   * @throws when the stream has ended, or the time is up
   */
  next<K extends AnswerKind>(kind: K, wanted?: (message: AnswerOf<K>) => boolean): Promise<AnswerOf<K>> {
    return this.inbox.next(kind, wanted);
  }

  /** Waits until the tracker has confirmed an event and a batch, by their numbers, and all before them. */
  async acked(events: bigint, logs: bigint): Promise<void> {
    await this.next("ack", (ack) => ack.events >= events && ack.logs >= logs);
  }

  /** Waits for the next order and reports that it was received. */
  async command(): Promise<Command> {
    const command = await this.next("command");
    this.event({ case: "commandUpdate", value: { commandId: command.commandId, state: CommandState.RECEIVED } });
    return command;
  }

  /** Reports that an order was carried out. */
  complete(command: Command): void {
    this.event({ case: "commandUpdate", value: { commandId: command.commandId, state: CommandState.COMPLETED } });
  }

  /**
   * Reports the end of the job: a success with the totals of its output.
   *
   * @param fields of the result that replace these
   * @returns the number of the event
   */
  result(fields: Result = {}): bigint {
    const success = { outcome: Outcome.SUCCEEDED, reason: EndReason.EXITED, exitCode: 0, streams: this.totals() };
    return this.event({ case: "result", value: { ...success, ...fields } });
  }

  /** Ends the job, waits until the tracker has everything, and leaves. */
  async end(how: { readonly exitCode?: number; readonly canceled?: boolean } = {}): Promise<Receipt> {
    const exitCode = how.exitCode ?? 0;
    const verdict =
      how.canceled === true
        ? { outcome: Outcome.CANCELED, reason: EndReason.CANCELED }
        : { outcome: exitCode === 0 ? Outcome.SUCCEEDED : Outcome.FAILED };
    this.result({ ...verdict, exitCode, step: 1 });
    const receipt = await this.next("receipt");
    this.halfClose();
    await this.ended;
    return receipt;
  }

  /** Closes the agent's direction of the stream; the tracker then ends the stream. */
  halfClose(): void {
    this.stream.end();
  }

  /** Breaks the connection without a message, like a machine that has lost its power. */
  vanish(): void {
    this.stream.cancel();
    this.client.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.vanish();
    return Promise.resolve();
  }
}

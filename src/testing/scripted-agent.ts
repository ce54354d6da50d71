import { crc32 } from "../base/crc32.ts";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { create } from "@bufbuild/protobuf";
import { Client, credentials } from "@grpc/grpc-js";
import { COMMAND_KINDS } from "../contract/commands.ts";
import { grpcMethod } from "../base/grpc-service.ts";
import { uuidv7 } from "../base/ids.ts";
import { messageProblem } from "../base/message-problem.ts";
import { checkOptions, milliseconds, required, type Rules, text } from "../base/options.ts";
import { JobSpecSchema } from "../gen/belay/v1/job_pb.ts";
import { CommandState, EndReason, JobState, LogStream, Outcome } from "../gen/belay/v1/job_pb.ts";
import type { Command, EventSchema, HelloSchema, Receipt, Welcome } from "../gen/belay/v1/tracker_service_pb.ts";
import { OpenSessionRequestSchema, TrackerService } from "../gen/belay/v1/tracker_service_pb.ts";
import type { AgentStream } from "./inbox.ts";
import { Inbox } from "./inbox.ts";

/** See ScriptedAgent. */
export interface ScriptedAgentOptions {
  /** Where the tracker is, as TestTracker.url says. */
  readonly url: string;
  readonly jobId: string;
  /** What it says it would run. Absent: it asks the tracker for the spec. */
  readonly spec?: MessageInitShape<typeof JobSpecSchema>;
  /** @default a new one */
  readonly sessionId?: string;
  /** Milliseconds for which it waits for any one message. @default 5_000 */
  readonly timeout?: number;
}

const RULES: Rules<ScriptedAgentOptions> = {
  url: required({
    expected: 'an address such as "http://127.0.0.1:7070" or "unix:/path"',
    accepts: (value) => typeof value === "string" && (value.startsWith("unix:") || URL.canParse(value)),
  }),
  jobId: required(text("the id of a job")),
  spec: { expected: "a JobSpec", accepts: (value) => messageProblem(JobSpecSchema, value) === undefined },
  sessionId: text("the id of a session"),
  timeout: milliseconds(),
};

type EventKind = NonNullable<MessageInitShape<typeof EventSchema>["kind"]>;

/**
 * An agent without a job: it joins a tracker and tells what the test says, so that a platform's own code can be tested
 * against jobs that print, hang, get lost or fail on demand, without any process.
 *
 * ```ts
 * await using agent = await ScriptedAgent.join({ url: tracker.url, jobId: "j1", spec: { command: ["train"] } });
 * agent.state("RUNNING");
 * agent.print("epoch 1\n");
 * await agent.end({ exitCode: 3 });
 * ```
 */
export class ScriptedAgent {
  readonly sessionId: string;
  /** The tracker's answer to Hello. */
  readonly welcome: Welcome;
  private readonly client: Client;
  private readonly stream: AgentStream;
  private readonly inbox: Inbox;
  private readonly totals = new Map<LogStream, { bytes: bigint; lines: bigint; crc: number }>();
  private eventSequence = 0n;
  private logSequence = 0n;

  private constructor(sessionId: string, welcome: Welcome, client: Client, stream: AgentStream, inbox: Inbox) {
    this.sessionId = sessionId;
    this.welcome = welcome;
    this.client = client;
    this.stream = stream;
    this.inbox = inbox;
    this.eventSequence = welcome.committed?.events ?? 0n;
    this.logSequence = welcome.committed?.logs ?? 0n;
  }

  /** Opens a stream and says Hello. @throws BelayError `BAD_USAGE`, or the gRPC error with which the tracker refuses it */
  static async join(given: ScriptedAgentOptions): Promise<ScriptedAgent> {
    const options = checkOptions("ScriptedAgent.join", given, RULES);
    const target = options.url.startsWith("unix:") ? options.url : new URL(options.url).host;
    const client = new Client(target, credentials.createInsecure());
    const method = grpcMethod(TrackerService.method.openSession);
    const stream: AgentStream = client.makeBidiStreamRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
    );
    const inbox = new Inbox(stream, options.timeout ?? 5_000);
    const sessionId = options.sessionId ?? uuidv7();
    const hello: MessageInitShape<typeof HelloSchema> = {
      sessionId,
      jobId: options.jobId,
      agent: { version: "scripted", hostname: "test", pid: process.pid },
      ...(options.spec === undefined ? {} : { spec: options.spec }),
      state: JobState.PENDING,
      supportedCommands: Object.values(COMMAND_KINDS),
    };
    stream.write(create(OpenSessionRequestSchema, { payload: { case: "hello", value: hello } }));
    try {
      return new ScriptedAgent(sessionId, await inbox.next("welcome"), client, stream, inbox);
    } catch (error) {
      client.close();
      throw error;
    }
  }

  /** Sends a record of the lane of events. */
  event(kind: EventKind): void {
    const nanos = BigInt(Date.now());
    const eventTime = { seconds: nanos / 1000n, nanos: Number(nanos % 1000n) * 1_000_000 };
    const value = { sequence: ++this.eventSequence, eventTime, kind };
    this.send({ case: "event", value });
  }

  /** Says that the job is in another state. */
  state(state: "SETTING_UP" | "RUNNING" | "PAUSED" | "CANCELING"): void {
    this.event({ case: "stateChange", value: { state: JobState[state] } });
  }

  /** Prints, as the job would. */
  print(text: string | Uint8Array, stream: LogStream = LogStream.STDOUT): void {
    const data = typeof text === "string" ? new TextEncoder().encode(text) : text;
    const total = this.totals.get(stream) ?? { bytes: 0n, lines: 0n, crc: 0 };
    const offset = total.bytes;
    total.bytes += BigInt(data.length);
    total.lines += BigInt(data.filter((byte) => byte === 0x0a).length);
    total.crc = crc32(data, total.crc);
    this.totals.set(stream, total);
    const readUnixNano = BigInt(Date.now()) * 1_000_000n;
    const chunk = { stream, step: 1, offset, readUnixNano, content: { case: "data", value: data } } as const;
    this.send({ case: "logBatch", value: { sequence: ++this.logSequence, chunks: [chunk] } });
  }

  /** Sends a heartbeat and waits for its reply. */
  async heartbeat(state: JobState = JobState.RUNNING): Promise<void> {
    const sendUnixNano = BigInt(Date.now()) * 1_000_000n;
    this.send({ case: "heartbeat", value: { nonce: 1n, state, streams: 1, sendUnixNano } });
    await this.inbox.next("heartbeatReply");
  }

  /** Waits for the next order and says that it was received. */
  async command(): Promise<Command> {
    const command = await this.inbox.next("command");
    this.event({ case: "commandUpdate", value: { commandId: command.commandId, state: CommandState.RECEIVED } });
    return command;
  }

  /** Says that an order was carried out. */
  complete(command: Command): void {
    this.event({ case: "commandUpdate", value: { commandId: command.commandId, state: CommandState.COMPLETED } });
  }

  /** Ends the job, waits until the tracker has everything, and leaves. */
  async end(how: { readonly exitCode?: number; readonly canceled?: boolean } = {}): Promise<Receipt> {
    const code = how.exitCode ?? 0;
    const canceled = how.canceled === true;
    this.event({
      case: "result",
      value: {
        outcome: canceled ? Outcome.CANCELED : code === 0 ? Outcome.SUCCEEDED : Outcome.FAILED,
        reason: canceled ? EndReason.CANCELED : EndReason.EXITED,
        exitCode: code,
        step: 1,
        streams: [...this.totals].map(([stream, total]) => ({
          stream,
          bytes: total.bytes,
          lines: total.lines,
          crc32: total.crc,
        })),
      },
    });
    const receipt = await this.inbox.next("receipt");
    this.stream.end();
    await this.inbox.ended;
    this.client.close();
    return receipt;
  }

  /** Goes away without a word, as a machine that lost its power. */
  vanish(): void {
    this.stream.cancel();
    this.client.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.vanish();
    return Promise.resolve();
  }

  private send(payload: NonNullable<MessageInitShape<typeof OpenSessionRequestSchema>["payload"]>): void {
    this.stream.write(create(OpenSessionRequestSchema, { payload }));
  }
}

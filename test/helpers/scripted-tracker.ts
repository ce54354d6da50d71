import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { Metadata, Server, ServerCredentials, type ServerDuplexStream, type status } from "@grpc/grpc-js";
import { grpcService } from "../../src/base/network/grpc-service.ts";
import { LogCompleteness } from "../../src/gen/belay/v1/job_pb.ts";
import {
  AckSchema,
  type OpenSessionRequest,
  type OpenSessionResponse,
  OpenSessionResponseSchema,
  type Receipt,
  ReceiptSchema,
  TrackerService,
  type Welcome,
  WelcomeSchema,
} from "../../src/gen/belay/v1/tracker_service_pb.ts";
import { Queue } from "./queue.ts";

type Payload = OpenSessionRequest["payload"];
type PayloadOf<C extends Payload["case"]> = Extract<Payload, { case: C }>["value"];

/** The tracker's end of a stream, which the test controls. */
export class ScriptedStream {
  readonly received: Payload[] = [];
  /** Resolves when the stream has ended, for any reason. */
  readonly over: Promise<void>;
  readonly metadata: Metadata;
  private readonly arrivals = new Queue<Payload>();
  private readonly call: ServerDuplexStream<OpenSessionRequest, OpenSessionResponse>;
  private onRequest: ((payload: Payload) => void) | undefined;

  constructor(call: ServerDuplexStream<OpenSessionRequest, OpenSessionResponse>) {
    this.call = call;
    this.metadata = call.metadata;
    this.over = new Promise((resolve) => {
      call.on("cancelled", () => resolve());
      call.on("close", () => resolve());
      call.on("end", () => {
        this.onEnd();
        resolve();
      });
    });
    call.on("error", () => undefined);
    call.on("data", ({ payload }: OpenSessionRequest) => {
      this.received.push(payload);
      this.arrivals.push(payload);
      this.onRequest?.(payload);
    });
  }

  /** Called when the agent half-closes. */
  onEnd: () => void = () => this.call.end();

  /** Waits for the next message of a kind; earlier ones of other kinds are skipped. */
  async next<C extends Exclude<Payload["case"], undefined>>(wanted: C): Promise<PayloadOf<C>> {
    for (;;) {
      const payload = await this.arrivals.next();
      if (payload.case === wanted) return payload.value as PayloadOf<C>;
    }
  }

  send(payload: OpenSessionResponse["payload"]): void {
    this.call.write(create(OpenSessionResponseSchema, { payload }));
  }

  welcome(
    welcome: Partial<
      Pick<Welcome, "attempt" | "committed" | "spec" | "commands" | "features" | "retry" | "trackerVersion">
    > & { interval?: number } = {},
  ): void {
    const { interval = 10_000, ...rest } = welcome;
    const value = create(WelcomeSchema, { attempt: 1, heartbeatInterval: durationFromMs(interval), ...rest });
    this.send({ case: "welcome", value });
  }

  ack(events: bigint, logs: bigint): void {
    this.send({ case: "ack", value: create(AckSchema, { events, logs }) });
  }

  receipt(facts: Partial<Pick<Receipt, "jobState" | "pendingFrom">> = {}): void {
    const value = create(ReceiptSchema, { logCompleteness: LogCompleteness.COMPLETE, ...facts });
    this.send({ case: "receipt", value });
  }

  /**
   * Acknowledges everything at once from now on, and sends the receipt after the result and the whole log.
   *
   * @param facts state of the job in the receipt
   */
  behave(facts: Partial<Pick<Receipt, "jobState" | "pendingFrom">> = {}): void {
    let events = 0n;
    let logs = 0n;
    let resultSeen = false;
    const take = (payload: Payload): void => {
      if (payload.case === "event") {
        events = payload.value.sequence;
        resultSeen ||= payload.value.kind.case === "result";
      }
      if (payload.case === "logBatch") logs = payload.value.sequence;
      if (payload.case !== "event" && payload.case !== "logBatch") return;
      this.ack(events, logs);
      if (resultSeen) this.receipt(facts);
    };
    for (const payload of this.received) take(payload);
    this.onRequest = take;
  }

  /** Ends the stream with an error. */
  fail(code: status, details: string, trailers: Readonly<Record<string, string>> = {}): void {
    const metadata = new Metadata();
    for (const [name, value] of Object.entries(trailers)) metadata.set(name, value);
    this.call.emit("error", { code, details, metadata });
  }

  /** Ends the stream with OK. */
  end(): void {
    this.call.end();
  }

  /** Stops reading: flow control fills up. */
  pause(): void {
    this.call.pause();
  }

  resume(): void {
    this.call.resume();
  }
}

/** A tracker that a test controls, on real gRPC: it uses grpc-js's server, which Belay's tracker does not. */
export class ScriptedTracker {
  readonly url: string;
  private readonly server: Server;
  private readonly streams: Queue<ScriptedStream>;

  private constructor(server: Server, port: number, streams: Queue<ScriptedStream>) {
    this.server = server;
    this.url = `http://127.0.0.1:${port}`;
    this.streams = streams;
  }

  static async start(port = 0): Promise<ScriptedTracker> {
    const server = new Server({ "grpc.max_receive_message_length": 8 << 20 });
    const streams = new Queue<ScriptedStream>();
    server.addService(grpcService(TrackerService), {
      openSession: (call: ServerDuplexStream<OpenSessionRequest, OpenSessionResponse>) => {
        streams.push(new ScriptedStream(call));
      },
    });
    const bound = await new Promise<number>((resolve, reject) => {
      server.bindAsync(`127.0.0.1:${port}`, ServerCredentials.createInsecure(), (error, got) => {
        if (error === null) resolve(got);
        else reject(error);
      });
    });
    return new ScriptedTracker(server, bound, streams);
  }

  /** The next stream that an agent opens. */
  stream(): Promise<ScriptedStream> {
    return this.streams.next();
  }

  /** Accepts every stream until it is closed: sends Welcome and calls `behave`. */
  async serve(): Promise<void> {
    for (;;) {
      const stream = await this.stream();
      stream.welcome();
      stream.behave();
    }
  }

  close(): void {
    this.server.forceShutdown();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

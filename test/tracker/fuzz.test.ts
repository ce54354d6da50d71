import { create, toBinary } from "@bufbuild/protobuf";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import type { ClientHttp2Session } from "node:http2";
import { connect as connectHttp2 } from "node:http2";
import type { Socket } from "node:net";
import { connect } from "node:net";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { OpenSessionRequestSchema } from "../../src/gen/belay/v1/tracker_service_pb.ts";
import { ScriptedAgent, readLog } from "../../src/testing/index.ts";
import { randomFrom } from "../helpers/random.ts";
import { jobClient, someSpec, testDirectory } from "../helpers/tracker.ts";

const program = join(import.meta.dirname, "../helpers/tracker-process.ts");
/** How many attacks. */
const ATTACKS = Number(process.env["BELAY_TEST_FUZZ"] ?? 3_000);
const AT_ONCE = 16;
/** Connections that are opened, begun, and left. */
const LEFT_OPEN = 300;
const SEED = Number(process.env["BELAY_TEST_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
/** Growth of the tracker's memory that counts as bounded, however many attacks. */
const GROWTH_BYTES = 200 * 1024 * 1024;
/** Between two words of the session that must come to no harm; the tracker gives up one that is silent for 3 s. */
const HEARTBEAT_MS = 300;

/** The tracker gives up whatever takes this long. */
const HANG_MS = 45_000;

/** Waits for something, and fails saying what it was if it never comes. */
async function within<T>(what: () => string, promise: Promise<T>): Promise<T> {
  const hanging = Promise.withResolvers<never>();
  const timer = setTimeout(() => hanging.reject(new Error(`${what()} hangs; seed ${SEED}`)), HANG_MS);
  try {
    return await Promise.race([promise, hanging.promise]);
  } finally {
    clearTimeout(timer);
  }
}

const BAD_IDS = [
  "../../etc/passwd",
  "..",
  ".",
  "a/b",
  "a\\b",
  "%2e%2e%2f",
  "a\0b",
  "\u202e",
  "x".repeat(70_000),
  "'; DROP TABLE jobs; --",
  "__proto__",
  "constructor",
  " ",
  "CON",
  "-rf",
];
const METHODS = ["GetJob", "CreateJob", "DeleteJob", "CancelJob", "ReadLogs", "WatchJob", "ListJobs", "ReadMetrics"];
const TYPES = [
  "application/grpc+proto",
  "application/grpc",
  "application/grpc-web+proto",
  "application/json",
  "text/plain",
];
const MORE_TYPES = [
  "application/connect+json",
  "application/proto",
  "",
  "application/grpc+json",
  "multipart/form-data; boundary=x",
];

class Attacker {
  private readonly random: () => number;
  private readonly address: URL;
  private readonly left: Socket[] = [];
  private session: ClientHttp2Session | undefined;
  /** What is under way. */
  private doing = "";

  constructor(address: string, seed: number) {
    this.address = new URL(address);
    this.random = randomFrom(seed);
  }

  async attack(): Promise<void> {
    const call = (): Promise<void> => this.call();
    const tricks = (): Promise<void> => this.tricks();
    const others = [() => this.garbage(), () => this.frames(), () => this.leave()];
    await within(() => this.doing, this.pick([call, call, call, tricks, tricks, ...others])());
  }

  close(): void {
    this.session?.destroy();
    for (const socket of this.left) socket.destroy();
  }

  /** Bytes that are no protocol at all, or break off. */
  private garbage(): Promise<void> {
    const starts = [
      "",
      "GET / HTTP/1.1\r\n",
      "POST /belay.v1.JobService/GetJob HTTP/1.1\r\nHost: x\r\n",
      "PRI * HTTP/2.0\r\n",
    ];
    return this.throwAt(Buffer.concat([Buffer.from(this.pick(starts)), this.bytes(this.below(400))]));
  }

  /** Frames of HTTP/2 that no client would send. */
  private frames(): Promise<void> {
    const parts = [Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), Buffer.from("000000040000000000", "hex")];
    for (let i = 0; i < 1 + this.below(6); i++) {
      const payload = this.bytes(this.below(64));
      const head = Buffer.alloc(9);
      head.writeUIntBE(this.below(4) === 0 ? this.below(2 ** 24) : payload.length, 0, 3);
      head.writeUInt8(this.below(12), 3);
      head.writeUInt8(this.below(256), 4);
      head.writeUInt32BE(this.below(8), 5);
      parts.push(head, payload);
    }
    return this.throwAt(Buffer.concat(parts));
  }

  /** A call with a body that is not what it says it is. */
  private async call(): Promise<void> {
    const service = this.below(2) === 0 ? "TrackerService/OpenSession" : `JobService/${this.pick(METHODS)}`;
    const headers = {
      ":method": this.below(20) === 0 ? this.pick(["GET", "PUT", "OPTIONS", "DELETE"]) : "POST",
      ":path": this.below(20) === 0 ? `/${this.bytes(8).toString("hex")}/../${service}` : `/belay.v1.${service}`,
      "content-type": this.pick([...TYPES, ...MORE_TYPES]),
      te: "trailers",
      ...(this.below(10) === 0 ? { "grpc-timeout": this.pick(["1n", "99999999H", "x", "-1S"]) } : {}),
      ...(this.below(10) === 0 ? { "grpc-encoding": this.pick(["gzip", "br", "none"]) } : {}),
    };
    const body = this.body();
    // Some never end what they began, and go.
    const leaves = this.below(3) === 0;
    this.doing = `A call that ${leaves ? "leaves" : "ends"}: ${JSON.stringify(headers)} ${body.toString("hex", 0, 300)}`;
    const stream = this.openSession().request(headers);
    stream.on("response", ({ ":status": status }) => (this.doing += `, answered ${status}`));
    stream.on("error", () => undefined).resume();
    stream.write(body, () => undefined);
    if (leaves) setTimeout(() => stream.close(8), 20);
    else stream.end();
    if (!stream.closed) await once(stream, "close").catch(() => undefined);
  }

  private body(): Buffer {
    const message = Buffer.from(
      toBinary(
        OpenSessionRequestSchema,
        create(OpenSessionRequestSchema, {
          payload: {
            case: "hello",
            value: {
              sessionId: "s",
              jobId: this.pick([...BAD_IDS, "victim"]),
              ...(this.below(2) === 0 ? { spec: someSpec } : {}),
            },
          },
        }),
      ),
    );
    for (let i = this.below(4); i > 0; i--) message[this.below(message.length)] = this.below(256);
    const head = Buffer.alloc(5);
    head.writeUInt8(this.pick([0, 0, 0, 1, 2, 255]), 0);
    head.writeUInt32BE(
      this.pick([message.length, message.length, message.length + 50, 0xffff_ffff, 5 * 1024 * 1024, 0]),
      1,
    );
    const whole = Buffer.concat([head, message, this.below(3) === 0 ? this.bytes(50) : Buffer.alloc(0)]);
    return this.below(4) === 0 ? whole.subarray(0, this.below(whole.length)) : whole;
  }

  /** Ids that are paths, code, or too long; as JSON, as anybody could send them. */
  private async tricks(): Promise<void> {
    const jobId = this.pick(BAD_IDS);
    const method = this.pick(METHODS);
    this.doing = `${method} of ${jobId.slice(0, 40)}`;
    const answer = await fetch(new URL(`/belay.v1.JobService/${method}`, this.address), {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({
        jobId,
        spec: { command: ["true"], labels: { [jobId.slice(0, 80)]: jobId } },
        pageToken: jobId,
      }),
    }).catch(() => undefined);
    await answer?.arrayBuffer().catch(() => undefined);
    // The caller's mistake, never an internal error.
    expect([500, 503]).not.toContain(answer?.status);
  }

  /** Begins a request and does not end it, like a slow client or one that has vanished. */
  private async leave(): Promise<void> {
    const socket = this.connect();
    const beginnings = [
      "",
      "P",
      "PRI * HTTP/2.0\r\n\r\nSM",
      "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{",
      "GET / HTTP/1.1\r\nX: ",
    ];
    socket.write(this.pick(beginnings));
    this.left.push(socket);
    if (this.left.length > LEFT_OPEN / AT_ONCE) this.left.shift()?.destroy();
    await Promise.resolve();
  }

  private async throwAt(bytes: Buffer): Promise<void> {
    this.doing = `Throwing ${bytes.toString("hex")}`;
    const socket = this.connect();
    socket.resume();
    if (this.below(2) === 0) socket.end(bytes);
    else socket.write(bytes, () => setTimeout(() => socket.destroy(), 5));
    if (!socket.closed) await once(socket, "close");
  }

  private connect(): Socket {
    const socket = connect(Number(this.address.port), this.address.hostname);
    return socket.on("error", () => undefined);
  }

  private openSession(): ClientHttp2Session {
    if (this.session === undefined || this.session.closed || this.session.destroyed) {
      this.session = connectHttp2(this.address);
      this.session.on("error", () => undefined);
    }
    return this.session;
  }

  private below(limit: number): number {
    return Math.floor(this.random() * limit);
  }
  private pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)] as T;
  }
  private bytes(length: number): Buffer<ArrayBuffer> {
    return Buffer.from(Array.from({ length }, () => this.below(256)));
  }
}

function memoryOf(pid: number): number {
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) * 1024;
}

// Memory is read from /proc.
test.skipIf(!existsSync("/proc/self/status"))(
  `${ATTACKS} malformed, truncated, oversized, slow and tricky clients: no crash, memory bounded, a session unharmed`,
  { timeout: 60_000 + ATTACKS * 20 },
  async () => {
    const directory = await testDirectory();
    const child = spawn(process.execPath, [program, directory, "127.0.0.1:0"], { stdio: ["ignore", "pipe", "pipe"] });
    onTestFinished(() => void child.kill("SIGKILL"));
    let errors = "";
    child.stderr.on("data", (chunk: Buffer) => (errors += chunk.toString()));
    const [line] = (await once(child.stdout, "data")) as [Buffer];
    const address = line.toString().trim();
    const pid = child.pid ?? 0;

    let done = 0;
    const witness = ScriptedAgent.connect({ url: address, jobId: "witness" });
    await witness.hello({ spec: someSpec });
    // By the clock, not by attacks: on a busy machine those may take longer than a stream may be silent.
    const beats = setInterval(() => witness.beat(BigInt(done)), HEARTBEAT_MS);
    onTestFinished(() => clearInterval(beats));
    const attackers = Array.from({ length: AT_ONCE }, (_, i) => new Attacker(address, SEED + i));
    onTestFinished(() => attackers.forEach((attacker) => attacker.close()));
    // What it needs once for each kind of call is not growth.
    let before = 0;
    let printed = "";
    await Promise.all(
      attackers.map(async (attacker) => {
        while (done < ATTACKS) {
          done++;
          if (done === Math.floor(ATTACKS / 4)) before = memoryOf(pid);
          if (done % 500 === 0) {
            const text = `still here after ${done}\n`;
            witness.print(text);
            printed += text;
          }
          await attacker.attack();
        }
      }),
    );
    const lines = printed.split("\n").length - 1;
    await within(() => "The last ack", witness.acked(0n, BigInt(lines)));
    for (const attacker of attackers) attacker.close();
    expect([child.exitCode, errors], `seed ${SEED}`).toEqual([null, ""]);
    expect(memoryOf(pid) - before, `seed ${SEED}`).toBeLessThan(GROWTH_BYTES);
    const jobs = jobClient(address);
    expect(await readLog(jobs, "witness", { follow: false })).toBe(printed);
    const ids = (await jobs.listJobs({ pageSize: 1000 })).jobs.map(({ jobId }) => jobId);
    expect(ids.filter((id) => !/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(id))).toEqual([]);
    // Everything that was written is in its own place.
    expect(readdirSync(directory).filter((name) => !/^(belay\.db(-wal|-shm)?|lock|reserve|logs)$/.test(name))).toEqual(
      [],
    );
    witness.result();
    await within(() => "The receipt", witness.next("receipt"));
  },
);

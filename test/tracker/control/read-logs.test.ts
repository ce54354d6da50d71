import { Code } from "@connectrpc/connect";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { LogStream } from "../../../src/gen/belay/v1/job_pb.ts";
import type { ReadLogsRequest } from "../../../src/gen/belay/v1/job_service_pb.ts";
import type { LogChunk } from "../../../src/gen/belay/v1/tracker_service_pb.ts";
import { readLog, ScriptedAgent } from "../../../src/testing/index.ts";
import type { Protocol, TestTracker } from "../../helpers/tracker.ts";
import { someSpec, testTracker } from "../../helpers/tracker.ts";

interface Piece {
  readonly stream: LogStream;
  readonly step: number;
  readonly text: string;
}

const { STDOUT, STDERR, AGENT } = LogStream;

/** Prints pieces in batches; the i-th is read at millisecond i. */
async function print(tracker: TestTracker, jobId: string, batches: readonly Piece[][]): Promise<ScriptedAgent> {
  const agent = ScriptedAgent.connect({ url: tracker.address, jobId });
  await agent.hello({ spec: someSpec });
  const offsets = new Map<LogStream, number>();
  let time = 0;
  for (const pieces of batches) {
    agent.batch(
      pieces.map(({ stream, step, text }) => {
        const offset = offsets.get(stream) ?? 0;
        offsets.set(stream, offset + text.length);
        const readUnixNano = BigInt(time++) * 1_000_000n;
        return {
          stream,
          step,
          offset: BigInt(offset),
          readUnixNano,
          content: { case: "data", value: Buffer.from(text) },
        };
      }),
    );
  }
  await agent.acked(0n, BigInt(batches.length));
  return agent;
}

/** Text after the n-th newline. */
function afterLines(text: string, n: number): string {
  let at = 0;
  for (let i = 0; i < n; i++) {
    at = text.indexOf("\n", at) + 1;
    if (at === 0) return "";
  }
  return text.slice(at);
}

function tailOf(text: string, n: number): string {
  const lines = text.split("\n").length - (text.endsWith("\n") || text === "" ? 1 : 0);
  return n === 0 ? "" : afterLines(text, Math.max(0, lines - n));
}

const piece = fc.record({
  stream: fc.constantFrom(STDOUT, STDERR, AGENT),
  step: fc.integer({ min: 1, max: 2 }),
  text: fc.oneof(
    fc.string({ unit: fc.constantFrom("a", "b", "\n"), maxLength: 12 }),
    // Large enough to fill blocks and make the index grow.
    fc.integer({ min: 1, max: 300_000 }).map((length) => `${"0123456789".repeat(length / 10)}\n`),
  ),
});

const PROTOCOLS: readonly Protocol[] = ["gRPC", "Connect"];

test.each(PROTOCOLS)(
  "Every way to begin agrees with a model of the log in memory: %s",
  { timeout: 60_000 },
  async (protocol) => {
    const tracker = await testTracker({}, protocol);
    let run = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(piece, { maxLength: 5 }), { minLength: 1, maxLength: 12 }),
        fc.uniqueArray(fc.constantFrom<LogStream[]>(STDOUT, STDERR, AGENT)),
        fc.option(fc.integer({ min: 1, max: 2 }), { nil: undefined }),
        fc.nat(30),
        fc.nat(600_000),
        async (batches, streams, step, n, byte) => {
          const jobId = `j${run++}`;
          const agent = await print(tracker, jobId, batches);
          const pieces = batches.flat();
          const chosen = (one: Piece) =>
            (streams.length === 0 || streams.includes(one.stream)) && (step === undefined || one.step === step);
          const text = pieces
            .filter(chosen)
            .map((one) => one.text)
            .join("");
          const steps = step === undefined ? [] : [step];
          const read = (start: ReadLogsRequest["start"], limitBytes = 0n) =>
            answerTo(tracker.jobs, { jobId, streams, steps, start, limitBytes });
          expect(await read({ case: undefined })).toBe(text);
          expect(await read({ case: "fromLine", value: BigInt(n + 1) })).toBe(afterLines(text, n));
          expect(await read({ case: "tailLines", value: BigInt(n) })).toBe(tailOf(text, n));
          expect(await read({ case: undefined }, BigInt(byte + 1))).toBe(text.slice(0, byte + 1));
          const time = pieces.findIndex((one, i) => chosen(one) && i >= n);
          const late = pieces
            .filter((one, i) => chosen(one) && time >= 0 && i >= time)
            .map((one) => one.text)
            .join("");
          expect(await read({ case: "fromTime", value: timestampFromMs(n) })).toBe(late);
          const out = pieces
            .filter((one) => one.stream === STDOUT)
            .map((one) => one.text)
            .join("");
          const start = { case: "fromByte" as const, value: BigInt(byte) };
          expect(await answerTo(tracker.jobs, { jobId, streams: [STDOUT], start })).toBe(out.slice(byte));
          expect(await inParts(tracker, { jobId, streams, steps }, Math.ceil(text.length / 9) + n)).toBe(text);
          agent.vanish();
        },
      ),
      { numRuns: 20, endOnFailure: true },
    );
  },
);

/** Reads a log in parts of some bytes, each from the `next_position` of the one before. */
async function inParts(tracker: TestTracker, request: object, bytes: number): Promise<string> {
  let text = "";
  for (let position = 0n; ; ) {
    const before = text.length;
    const start = { case: "fromPosition" as const, value: position };
    for await (const answer of tracker.jobs.readLogs({ ...request, start, limitBytes: BigInt(bytes + 1) })) {
      position = answer.nextPosition;
      text += textOf(answer.chunks);
    }
    if (text.length === before) return text;
  }
}

/** All that one call of ReadLogs answers. */
async function answerTo(jobs: TestTracker["jobs"], request: Parameters<TestTracker["jobs"]["readLogs"]>[0]) {
  let text = "";
  for await (const { chunks } of jobs.readLogs(request)) text += textOf(chunks);
  return text;
}

function textOf(chunks: readonly LogChunk[]): string {
  const data = chunks.map(({ content }) => (content.case === "data" ? content.value : new Uint8Array()));
  return Buffer.concat(data).toString("latin1");
}

describe.each(PROTOCOLS)("Following by %s", (protocol) => {
  test("three readers see each line as it is stored, and end with OK when the log is decided", async () => {
    const { address, jobs } = await testTracker({}, protocol);
    const agent = ScriptedAgent.connect({ url: address, jobId: "j" });
    await agent.hello({ spec: someSpec });
    const readers = Array.from({ length: 3 }, () =>
      jobs.readLogs({ jobId: "j", follow: true })[Symbol.asyncIterator](),
    );
    for (let i = 1; i <= 20; i++) {
      const waiting = readers.map((reader) => reader.next());
      agent.print(`line ${i}\n`);
      for (const next of waiting) expect(textOf((await next).value?.chunks ?? [])).toBe(`line ${i}\n`);
    }
    agent.result();
    for (const reader of readers) expect((await reader.next()).done).toBe(true);
  });

  test("can begin before there is an agent, and at the end of what is stored", async () => {
    const { address, jobs } = await testTracker({ keepaliveInterval: 50 }, protocol);
    await jobs.createJob({ jobId: "j", spec: someSpec });
    const all = readLog(jobs, "j");
    const agent = ScriptedAgent.connect({ url: address, jobId: "j" });
    await agent.hello();
    agent.print("old\n");
    await agent.acked(0n, 1n);
    const tail = jobs.readLogs({ jobId: "j", follow: true, start: { case: "tailLines", value: 0n } });
    const reader = tail[Symbol.asyncIterator]();
    // A sign of life shows that its position has been taken.
    expect((await reader.next()).value?.chunks).toEqual([]);
    agent.print("new\n");
    let chunks: LogChunk[] = [];
    while (chunks.length === 0) chunks = (await reader.next()).value?.chunks ?? [];
    expect(textOf(chunks)).toBe("new\n");
    agent.result();
    expect(await all).toBe("old\nnew\n");
  });

  test("a reader that does not read costs the tracker nothing, and gets everything later", async () => {
    const { address, jobs } = await testTracker({}, protocol);
    const agent = ScriptedAgent.connect({ url: address, jobId: "j" });
    await agent.hello({ spec: someSpec });
    const slow = jobs.readLogs({ jobId: "j", follow: true })[Symbol.asyncIterator]();
    agent.print("first\n");
    let bytes = textOf((await slow.next()).value?.chunks ?? []).length;
    const before = process.memoryUsage().arrayBuffers;
    const data = Buffer.alloc(1024 * 1024, "y\n");
    for (let i = 0; i < 64; i++) {
      agent.print(data);
      await agent.acked(0n, BigInt(i + 2));
    }
    global.gc?.();
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(48 * 1024 * 1024);
    agent.result();
    for (let next = await slow.next(); next.done !== true; next = await slow.next()) {
      bytes += textOf(next.value.chunks).length;
    }
    expect(bytes).toBe(6 + 64 * data.length);
  });
});

function at<C extends "fromByte" | "fromLine" | "fromPosition">(kind: C, value: bigint): { case: C; value: bigint } {
  return { case: kind, value };
}

describe.each(PROTOCOLS)("A request by %s that cannot be served", (protocol) => {
  test.each([
    ["an unknown job", { jobId: "none" }, Code.NotFound, /^Job "none" does not exist$/],
    ["an attempt to come", { attempt: 2 }, Code.NotFound, /^Job "j" has no attempt 2: the latest is 1$/],
    ["a byte of no one stream", { start: at("fromByte", 1n) }, Code.InvalidArgument, /^from_byte counts the bytes/],
    ["line 0", { start: at("fromLine", 0n) }, Code.InvalidArgument, /^from_line is 0/],
    ["a position beyond the end", { start: at("fromPosition", 999n) }, Code.InvalidArgument, /the log ends at/],
    ["an unknown stream", { streams: [9 as LogStream] }, Code.InvalidArgument, /^streams has 9: expected STDOUT/],
  ])("is refused and says why: %s", async (_, request, code, message) => {
    const tracker = await testTracker({}, protocol);
    await print(tracker, "j", [[{ stream: STDOUT, step: 1, text: "a\n" }]]);
    await expect(answerTo(tracker.jobs, { jobId: "j", ...request })).rejects.toMatchObject({
      code,
      rawMessage: expect.stringMatching(message) as unknown,
    });
  });
});

import { once } from "node:events";
import { Code } from "@connectrpc/connect";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { MessageReader } from "../../../src/tracker/net/message-reader.ts";
import { isPlainGrpc } from "../../../src/tracker/net/raw-call.ts";
import { framed, type HttpCall, openCall } from "./http-call.ts";

const MAX_BYTES = 300_000;

describe("Messages of a gRPC call", () => {
  test("come out as they were put in, however they are cut on their way", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.nat({ max: 200_000 }), { maxLength: 12 }),
        fc.array(fc.integer({ min: 1, max: 50_000 }), { minLength: 1, maxLength: 20 }),
        async (lengths, cuts) => {
          const { client, reader } = await call();
          const messages = lengths.map((length, i) => Buffer.alloc(length, i + 1));
          const bytes = Buffer.concat(messages.map(framed));
          for (let at = 0, i = 0; at < bytes.length; i++) {
            const cut = cuts[i % cuts.length] ?? 1;
            client.write(bytes.subarray(at, at + cut));
            at += cut;
          }
          client.end();
          for (const wanted of messages) {
            const message = await reader.next();
            expect(Buffer.compare(message?.bytes ?? Buffer.alloc(1), wanted)).toBe(0);
            message?.release();
            message?.release();
          }
          expect(await reader.next()).toBeUndefined();
          expect(await reader.next()).toBeUndefined();
          client.session?.destroy();
        },
      ),
      { numRuns: 25 },
    );
  });

  test("keep their bytes until they are given back, whatever comes after them", async () => {
    const { client, reader } = await call();
    client.write(Buffer.concat([framed(Buffer.alloc(60_000, 1)), framed(Buffer.alloc(60_000, 2))]));
    const first = await reader.next();
    const second = await reader.next();
    expect(first?.bytes.every((byte) => byte === 1)).toBe(true);
    first?.release();
    client.write(framed(Buffer.alloc(60_000, 3)));
    const third = await reader.next();
    expect(second?.bytes.every((byte) => byte === 2)).toBe(true);
    expect(third?.bytes.every((byte) => byte === 3)).toBe(true);
    // The memory of the first is used again.
    expect(third?.bytes.buffer).toBe(first?.bytes.buffer);
  });

  test("are not read before the first request for one, and wait at the sender while none is requested", async () => {
    const { client, stream, reader } = await call();
    expect(stream.listenerCount("data")).toBe(0);
    let sent = 0;
    const message = framed(Buffer.alloc(60_000, 7));
    const send = (): void => {
      while (sent < 200 && client.write(message)) sent++;
    };
    client.on("drain", send);
    send();
    expect((await reader.next())?.bytes.length).toBe(60_000);
    await expect.poll(() => stream.isPaused(), { timeout: 10_000 }).toBe(true);
    // What Node holds for a stream that is paused is bounded by the windows; here that is 64 KiB each way and a few pieces.
    expect(sent).toBeLessThan(60);
    for (let taken = 1; taken < 200; taken++) expect((await reader.next())?.bytes.length).toBe(60_000);
  });

  test.each([
    [
      "longer than the limit",
      Buffer.from("0000ffffff", "hex"),
      Code.ResourceExhausted,
      /readMaxBytes 300000: 16777215/,
    ],
    ["compressed without an encoding", Buffer.from("0100000001ff", "hex"), Code.InvalidArgument, /compressed/],
    ["cut within the prefix", Buffer.from("000000", "hex"), Code.InvalidArgument, /half-closed within a message/],
    ["cut within the body", Buffer.from("0000000005ffff", "hex"), Code.InvalidArgument, /half-closed within/],
  ])("%s end it, after those before are read", async (_, bytes, code, rawMessage) => {
    const { client, reader } = await call();
    client.end(Buffer.concat([framed(Buffer.from("good")), bytes]));
    expect(Buffer.from((await reader.next())?.bytes ?? []).toString()).toBe("good");
    await expect(reader.next()).rejects.toMatchObject({
      code,
      rawMessage: expect.stringMatching(rawMessage) as unknown,
    });
    await expect(reader.next()).rejects.toMatchObject({ code });
  });

  test("end with CANCELED when the client is gone", async () => {
    const { client, reader } = await call();
    client.write(framed(Buffer.from("x")));
    await reader.next();
    const next = reader.next();
    client.session?.destroy();
    await expect(next).rejects.toMatchObject({ code: Code.Canceled });
  });

  test("end at once when the stream is gone before they are asked for", async () => {
    const { client, stream, reader } = await call();
    client.session?.destroy();
    await once(stream, "close");
    await expect(reader.next()).rejects.toMatchObject({ code: Code.Canceled });
  });
});

test.each([
  [{ "content-type": "application/grpc" }, true],
  [{ "content-type": "application/grpc+proto", "grpc-encoding": "identity" }, true],
  [{ "content-type": "application/grpc+proto", "grpc-encoding": "gzip" }, false],
  [{ "content-type": "application/grpc+json" }, false],
  [{ "content-type": "application/connect+proto" }, false],
  [{}, false],
])("%j is plain gRPC: %s", (headers, plain) => {
  expect(isPlainGrpc(headers)).toBe(plain);
});

async function call(): Promise<HttpCall & { reader: MessageReader }> {
  const opened = await openCall();
  return { ...opened, reader: new MessageReader(opened.stream, MAX_BYTES) };
}

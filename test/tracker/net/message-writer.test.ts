import { once } from "node:events";
import { describe, expect, test } from "vitest";
import { MessageWriter } from "../../../src/tracker/net/message-writer.ts";
import { framed, type HttpCall, openCall } from "./http-call.ts";

describe("Messages that are written beside connect-node", () => {
  test("arrive in order, framed, behind what was written before them and before what comes after", async () => {
    const { client, stream, writer } = await call();
    const messages = [0, 1, 5, 20_000, 300_000].map((length, i) => Buffer.alloc(length, i + 1));
    stream.write("first");
    writer.write(messages.slice(0, 3));
    for (const message of messages.slice(3)) {
      writer.writeParts([message.subarray(0, 7), message.subarray(7, 7), message.subarray(7)]);
    }
    stream.end("last");
    const received = await client.toArray();
    const wanted = Buffer.concat([Buffer.from("first"), ...messages.map(framed), Buffer.from("last")]);
    expect(Buffer.compare(Buffer.concat(received as Buffer[]), wanted)).toBe(0);
  });

  test("wait for a client that does not read, and go on when it does", async () => {
    const { client, writer } = await call();
    const message = Buffer.alloc(10_000);
    let written = 0;
    while (writer.write([message])) written++;
    expect(written).toBeLessThan(100);
    let drained = false;
    const waiting = writer.drained().then(() => (drained = true));
    await once(client, "response");
    expect(drained).toBe(false);
    client.resume();
    await waiting;
    expect(writer.write([message])).toBe(true);
  });

  test("wait no longer when the client is gone, and then go nowhere", async () => {
    const { client, stream, writer } = await call();
    while (writer.write([Buffer.alloc(10_000)]));
    const waiting = writer.drained();
    client.session?.destroy();
    await waiting;
    expect(stream.destroyed).toBe(true);
    expect(writer.write([Buffer.alloc(10)])).toBe(true);
    await writer.drained();
  });
});

async function call(): Promise<HttpCall & { writer: MessageWriter }> {
  const opened = await openCall();
  opened.stream.respond({ ":status": 200 });
  return { ...opened, writer: new MessageWriter(opened.stream) };
}

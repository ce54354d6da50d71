import { create } from "@bufbuild/protobuf";
import { copyFile, mkdir, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { LogStream } from "../../../src/gen/belay/v1/job_pb.ts";
import type { LogBatch } from "../../../src/gen/belay/v1/tracker_service_pb.ts";
import { LogBatchSchema } from "../../../src/gen/belay/v1/tracker_service_pb.ts";
import { AttemptLog } from "../../../src/tracker/store/log/attempt-log.ts";
import { ENTRY_BYTES } from "../../../src/tracker/store/log/index-file.ts";
import { logOwner } from "../../../src/tracker/store/log/owner.ts";
import { copyTotals } from "../../../src/tracker/store/log/totals.ts";
import { testDirectory } from "../../helpers/tracker.ts";

function batch(
  sequence: number,
  offset: number,
  text: string | Buffer,
  stream: LogStream = LogStream.STDOUT,
): LogBatch {
  const value = Buffer.from(text as string);
  const chunk = { stream, step: 1, offset: BigInt(offset), readUnixNano: BigInt(sequence) };
  return create(LogBatchSchema, {
    sequence: BigInt(sequence),
    chunks: [{ ...chunk, content: { case: "data", value } }],
  });
}

const owner = logOwner({ jobId: "j", createTime: 1 }, 1, false);

async function openLog(path: string): Promise<AttemptLog> {
  const log = new AttemptLog(path, owner);
  await log.open();
  return log;
}

async function textOf(log: AttemptLog): Promise<string> {
  const parts: Uint8Array[] = [];
  for await (const record of log.read(16, Infinity)) {
    for (const { data } of record.chunks) if (data !== undefined) parts.push(data);
  }
  return Buffer.concat(parts).toString("latin1");
}

describe("After a kill -9 in the middle of a write", () => {
  test("the torn record is cut off, wherever it was torn, and the log goes on", async () => {
    const directory = await testDirectory();
    const whole = join(directory, "whole.log");
    const log = await openLog(whole);
    log.append(batch(1, 0, "first\n"));
    log.append(batch(2, 6, "second, which is torn\n"));
    await log.flush();
    const full = copyTotals(log.committed);
    await log.close();
    const { size } = await stat(whole);
    const secondAt = size - (32 + 40 + "second, which is torn\n".length);
    for (let length = secondAt; length <= size; length++) {
      const path = join(directory, `${length}.log`);
      await copyFile(whole, path);
      await truncate(path, length);
      const torn = new AttemptLog(path, owner);
      const complete = length === size;
      expect(await torn.open()).toBe(complete ? 0 : length - secondAt);
      expect(torn.committed.sequence).toBe(complete ? 2 : 1);
      expect(await textOf(torn)).toBe(complete ? "first\nsecond, which is torn\n" : "first\n");
      torn.append(batch(2, 6, "second, which is torn\n"));
      await torn.flush();
      expect(torn.committed).toEqual(full);
      await torn.close();
    }
  });

  test("a file torn within its header holds nothing, and can be used", async () => {
    const path = join(await testDirectory(), "1.log");
    for (let length = 0; length < 16; length++) {
      await writeFile(path, Buffer.from("BELAYLG1").subarray(0, length));
      const log = await openLog(path);
      expect(log.committed.sequence).toBe(0);
      log.append(batch(1, 0, "x"));
      await log.flush();
      await log.close();
      expect(await textOf(await openLog(path))).toBe("x");
      await rm(path);
      await rm(`${path}.index`);
    }
  });

  test("a byte that was changed ends the log before its record", async () => {
    const path = join(await testDirectory(), "1.log");
    const log = await openLog(path);
    log.append(batch(1, 0, "good\n"));
    log.append(batch(2, 5, "bad\n"));
    await log.close();
    // Without the index, which vouches for the end of the log.
    await rm(`${path}.index`);
    const bytes = await readFile(path);
    bytes[bytes.length - 2] = 0x21;
    await writeFile(path, bytes);
    expect((await openLog(path)).committed.sequence).toBe(1);
  });

  test("a file that is no log is refused and left as it is", async () => {
    const path = join(await testDirectory(), "1.log");
    await writeFile(path, "this is something else altogether");
    await expect(openLog(path)).rejects.toMatchObject({ code: "STORE" });
    expect(await readFile(path, "utf8")).toBe("this is something else altogether");
  });
});

describe("The index", () => {
  async function bigLog(directory: string): Promise<{ path: string; text: string }> {
    const path = join(directory, "big.log");
    const log = await openLog(path);
    let text = "";
    for (let i = 1; i <= 40; i++) {
      const piece = `${`${i} `.repeat(10_000)}\n`;
      expect(log.append(batch(i, text.length, piece))).toEqual({ kind: "accepted" });
      text += piece;
    }
    await log.close();
    return { path, text };
  }

  test("is only a help: missing, damaged or ahead of the log, the log comes out the same", async () => {
    const directory = await testDirectory();
    const { path, text } = await bigLog(directory);
    const log = await openLog(path);
    const expected = copyTotals(log.committed);
    await log.close();
    const index = await readFile(`${path}.index`);
    expect(index.length / ENTRY_BYTES).toBeGreaterThan(4);
    const damaged = Buffer.from(index);
    damaged.fill(0x55, index.length - 2 * ENTRY_BYTES);
    const cases = [Buffer.alloc(0), damaged, index.subarray(0, 100), Buffer.concat([index, Buffer.from("torn")])];
    for (const content of cases) {
      await writeFile(`${path}.index`, content);
      const again = await openLog(path);
      expect(again.committed).toEqual(expected);
      expect(await textOf(again)).toBe(text);
      await again.close();
    }
    await writeFile(`${path}.index`, index);
    await truncate(path, expected.position - 10);
    const shorter = await openLog(path);
    expect(shorter.committed.sequence).toBe(39);
    await shorter.close();
  });

  test("leads a reader near to a line without reading what comes before", async () => {
    const directory = await testDirectory();
    const { path } = await bigLog(directory);
    const log = await openLog(path);
    const near = await log.seek((totals) => totals.streams[0].lines < 30);
    expect(near.streams[0].lines).toBeGreaterThan(15);
    expect(near.streams[0].lines).toBeLessThan(30);
    await log.close();
  });
});

test("A write that fails is forgotten: what was not committed may be handed in again", async () => {
  const directory = await testDirectory();
  // A directory stands where the file is to be.
  const path = join(directory, "1.log");
  const log = await openLog(path);
  await mkdir(path);
  const failures: unknown[] = [];
  log.onWrite((failure) => failures.push(failure));
  expect(log.append(batch(1, 0, "x"))).toEqual({ kind: "accepted" });
  await log.flush();
  expect(failures).toMatchObject([{ code: "EISDIR" }]);
  expect([log.lastSequence, log.committed.sequence, log.congested]).toEqual([0, 0, false]);
  await rm(path, { recursive: true });
  log.append(batch(1, 0, "x"));
  await log.flush();
  expect(log.committed.sequence).toBe(1);
  await log.close();
});

test("A sender that is faster than the disk is held back, and goes on when the disk has caught up", async () => {
  const log = await openLog(join(await testDirectory(), "1.log"));
  const data = Buffer.alloc(256 * 1024, "x");
  let sent = 0;
  for (; !log.congested; sent++) log.append(batch(sent + 1, sent * data.length, data));
  // 4 MiB may wait.
  expect(sent).toBe(16);
  await log.drained();
  expect(log.congested).toBe(false);
  await log.flush();
  expect(log.committed.sequence).toBe(sent);
  await log.close();
});

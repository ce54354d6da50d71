import { Code } from "@connectrpc/connect";
import { create } from "@bufbuild/protobuf";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { JobSpecSchema, LogStream, Outcome } from "../../../src/gen/belay/v1/job_pb.ts";
import { GoodbyeReason } from "../../../src/gen/belay/v1/tracker_service_pb.ts";
import { LiveJob } from "../../../src/tracker/jobs/live-job.ts";
import { AttemptLog } from "../../../src/tracker/store/log/attempt-log.ts";
import type { Store } from "../../../src/tracker/store/types.ts";
import { ManualClock } from "../../helpers/manual-clock.ts";
import { someSpec } from "../../helpers/tracker.ts";
import { type AService, aService } from "./a-service.ts";

/** The next log that the store opens waits. @returns what ends the wait, and resolves when it has begun */
function holdLog(store: Store): { readonly asked: Promise<void>; readonly release: () => void } {
  const asked = Promise.withResolvers<void>();
  const gate = Promise.withResolvers<void>();
  const log = store.log.bind(store);
  vi.spyOn(store, "log").mockImplementationOnce(async (key, attempt) => {
    asked.resolve();
    await gate.promise;
    return log(key, attempt);
  });
  return { asked: asked.promise, release: gate.resolve };
}

/** A stream that is welcomed, reports the job's result, and breaks. */
async function endJob({ registry, open }: AService): Promise<void> {
  const stream = open("s1");
  expect((await stream.next())?.case).toBe("welcome");
  const value = { outcome: Outcome.SUCCEEDED, streams: [] };
  stream.send({ case: "event", value: { sequence: 1n, kind: { case: "result", value } } });
  while ((await stream.next())?.case !== "receipt");
  stream.breakOff();
  const live = await registry.get("j");
  await vi.waitFor(() => expect(live.log).toBeUndefined());
}

describe("A job that is being deleted", () => {
  test("does not get a stream that waits for its log: the stream ends, and the next finds no job", async () => {
    const service = await aService();
    const { store, registry, open } = service;
    await endJob(service);
    const live = await registry.get("j");
    const held = holdLog(store);
    const late = open("s1");
    const answer = late.next();
    await held.asked;
    const removal = registry.remove(live);
    held.release();
    await expect(answer).rejects.toMatchObject({ code: Code.Aborted });
    await removal;
    expect(live.stream).toBeUndefined();
    expect([...registry.inMemory()]).toEqual([]);
    await expect(registry.get("j")).rejects.toMatchObject({ code: Code.NotFound });
  });

  test("is not found although the store still has it, and its id is free afterwards", async () => {
    const service = await aService();
    const { store, registry } = service;
    await endJob(service);
    const remove = store.remove.bind(store);
    const gate = Promise.withResolvers<void>();
    vi.spyOn(store, "remove").mockImplementationOnce(async (...args) => {
      await gate.promise;
      await remove(...args);
    });
    const removal = registry.remove(await registry.get("j"));
    const found = registry.find("j");
    gate.resolve();
    await removal;
    expect(await found).toBeUndefined();
    const [, isNew] = await registry.create("j", { spec: create(JobSpecSchema, someSpec) }, "waits");
    expect(isNew).toBe(true);
  });
});

describe("Of two streams of one session that come at once", () => {
  test("the older one gets Goodbye and ends as soon as the newer one is attached", async () => {
    const { store, open } = await aService();
    const held = holdLog(store);
    const openLog = vi.spyOn(LiveJob.prototype, "openLog");
    onTestFinished(() => openLog.mockRestore());
    const old = open("s1");
    const first = old.next();
    await held.asked;
    const second = open("s1").next();
    await vi.waitFor(() => expect(openLog).toHaveBeenCalledTimes(2));
    held.release();
    expect((await first)?.case).toBe("welcome");
    expect((await second)?.case).toBe("welcome");
    expect(await old.next()).toMatchObject({ case: "goodbye", value: { reason: GoodbyeReason.REPLACED } });
    expect(await old.next()).toBeUndefined();
  });
});

describe("A stream that the tracker does not read because its disk is slow", () => {
  test("is not taken for silent, is checked once per heartbeat, and is ended when it is silent afterwards", async () => {
    const clock = new ManualClock();
    const { registry, open } = await aService(clock);
    const stream = open("s1");
    await stream.next();
    const drained = Promise.withResolvers<void>();
    const congested = vi.spyOn(AttemptLog.prototype, "congested", "get").mockReturnValue(true);
    const drain = vi.spyOn(AttemptLog.prototype, "drained").mockReturnValue(drained.promise);
    onTestFinished(() => [congested, drain].forEach((mock) => mock.mockRestore()));
    const chunk = { stream: LogStream.STDOUT, step: 1, offset: 0n, data: Buffer.from("x"), readUnixNano: 1n };
    stream.send({ case: "logBatch", value: { sequence: 1n, chunks: [chunk] } });
    expect(await stream.next()).toMatchObject({ case: "ack", value: { logs: 1n } });
    const { stream: held } = await registry.get("j");
    await vi.waitFor(() => expect(held?.holding).toBe(true));
    clock.advance(3000);
    const timers = vi.spyOn(clock, "after");
    clock.advance(10_000);
    expect(timers).toHaveBeenCalledTimes(10);
    drained.resolve();
    await vi.waitFor(() => expect(held?.holding).toBe(false));
    const end = stream.next();
    clock.advance(4000);
    await expect(end).rejects.toMatchObject({ code: Code.DeadlineExceeded });
  });
});

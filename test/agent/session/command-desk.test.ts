import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { describe, expect, test } from "vitest";
import { CommandDesk, type Commandable } from "../../../src/agent/session/command-desk.ts";
import {
  CommandState,
  EndReason,
  JobResultSchema,
  JobState,
  StatusReportSchema,
} from "../../../src/gen/belay/v1/job_pb.ts";
import { type Command, CommandSchema } from "../../../src/gen/belay/v1/tracker_service_pb.ts";
import { Queue } from "../../helpers/queue.ts";

type Update = { commandId: string; state: CommandState; message: string; status?: unknown };

function setUp(): { desk: CommandDesk; updates: Queue<Update>; job: Commandable & { orders: unknown[] } } {
  const updates = new Queue<Update>();
  const orders: unknown[] = [];
  const job = {
    state: JobState.RUNNING,
    orders,
    end: (order: unknown) => void orders.push(order),
    signal: (name: string) =>
      name === "SIGUSR1" ? Promise.resolve(3) : Promise.reject(new Error(`Cannot send "${name}": no such signal`)),
    pause: () => Promise.reject(new Error("Cannot pause the job: it is SETTING_UP")),
    resume: () => Promise.resolve(),
  };
  const desk = new CommandDesk(
    (update) => updates.push(update),
    () => Promise.resolve(create(StatusReportSchema, { pid: 7 })),
  );
  return { desk, updates, job };
}

const command = (commandId: string, order: Command["order"]): Command => create(CommandSchema, { commandId, order });
const cancel = (id: string, ms?: number): Command =>
  command(id, {
    case: "cancel",
    value: {
      $typeName: "belay.v1.Cancel",
      reason: "too dear",
      ...(ms !== undefined && { gracePeriod: durationFromMs(ms) }),
    },
  });

describe("a command", () => {
  test("is carried out once, however often it is delivered", () => {
    const { desk, updates, job } = setUp();
    desk.attach(job);
    desk.accept(cancel("c1"));
    desk.accept(cancel("c1"));
    expect(job.orders).toEqual([{ reason: EndReason.CANCELED, message: "Canceled: too dear", commandId: "c1" }]);
    expect(updates.size).toBe(1);
  });

  test("that comes before there is a job waits for it", async () => {
    const { desk, updates, job } = setUp();
    desk.accept(cancel("c1", 0));
    expect(await updates.next()).toMatchObject({ commandId: "c1", state: CommandState.RECEIVED });
    expect(job.orders).toEqual([]);
    desk.attach(job);
    expect(job.orders).toMatchObject([{ commandId: "c1", grace: 0 }]);
  });

  test.each([
    [
      "signal",
      { case: "signal", value: { $typeName: "belay.v1.Signal", name: "SIGUSR1" } },
      "Sent SIGUSR1 to 3 processes",
    ],
    ["status", { case: "status", value: { $typeName: "belay.v1.Status" } }, ""],
    ["resume", { case: "resume", value: { $typeName: "belay.v1.Resume" } }, "Resumed"],
  ] as [string, Command["order"], string][])("%s is answered RECEIVED, then COMPLETED", async (_, order, message) => {
    const { desk, updates, job } = setUp();
    desk.attach(job);
    desk.accept(command("c1", order));
    expect(await updates.next()).toMatchObject({ state: CommandState.RECEIVED });
    expect(await updates.next()).toMatchObject({ state: CommandState.COMPLETED, message });
  });

  test.each([
    ["an unknown signal", { case: "signal", value: { $typeName: "belay.v1.Signal", name: "SIGX" } }, /no such signal/],
    ["a pause in the wrong state", { case: "pause", value: { $typeName: "belay.v1.Pause" } }, /SETTING_UP/],
    ["an order of a later version", { case: undefined }, /does not know/],
  ] as [string, Command["order"], RegExp][])("%s is REJECTED, and the message says why", async (_, order, why) => {
    const { desk, updates, job } = setUp();
    desk.attach(job);
    desk.accept(command("c1", order));
    await updates.next();
    const answer = await updates.next();
    expect(answer.state).toBe(CommandState.REJECTED);
    expect(answer.message).toMatch(why);
  });
});

describe("a cancel", () => {
  test("is COMPLETED when the job has ended, each one", async () => {
    const { desk, updates, job } = setUp();
    desk.attach(job);
    desk.accept(cancel("c1", 5000));
    desk.accept(cancel("c2", 10));
    await updates.next();
    await updates.next();
    desk.finish(create(JobResultSchema, { message: "Canceled: too dear" }));
    expect(await updates.next()).toMatchObject({ commandId: "c1", state: CommandState.COMPLETED });
    expect(await updates.next()).toMatchObject({ commandId: "c2", state: CommandState.COMPLETED });
  });

  test("of a job that has ended answers with the result that it has", async () => {
    const { desk, updates, job } = setUp();
    desk.attach(job);
    desk.finish(create(JobResultSchema, { message: "Exited with code 0" }));
    desk.accept(cancel("c1"));
    await updates.next();
    expect(await updates.next()).toMatchObject({
      state: CommandState.COMPLETED,
      message: "Had ended already: Exited with code 0",
    });
    expect(job.orders).toEqual([]);
  });
});

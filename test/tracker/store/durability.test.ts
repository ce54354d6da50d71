import { open } from "node:fs/promises";
import { DatabaseSync } from "node:sqlite";
import { join } from "node:path";
import { describe, expect, test, vi } from "vitest";
import { someSpec, testDirectory, testTracker } from "../../helpers/tracker.ts";
import { ScriptedAgent } from "../../../src/testing/index.ts";

/** The methods of all open files, to be spied on. */
async function filePrototype(): Promise<{ datasync(): Promise<void>; sync(): Promise<void> }> {
  const file = await open(join(await testDirectory(), "any"), "w");
  await file.close();
  return Object.getPrototypeOf(file) as { datasync(): Promise<void>; sync(): Promise<void> };
}

describe("With durability disk", () => {
  test("no ack before fdatasync has returned, one for all that arrived meanwhile, and the names are synced", async () => {
    const prototype = await filePrototype();
    const first = Promise.withResolvers<void>();
    const datasync = vi.spyOn(prototype, "datasync").mockImplementationOnce(() => first.promise);
    const sync = vi.spyOn(prototype, "sync");
    const { address } = await testTracker({ durability: "disk" });
    const agent = ScriptedAgent.connect({ url: address, jobId: "j" });
    await agent.hello({ spec: someSpec });
    agent.print("one\n");
    await expect.poll(() => datasync.mock.calls.length).toBe(1);
    // The directories of the log, of all logs and of the data.
    expect(sync).toHaveBeenCalledTimes(3);
    for (let i = 0; i < 50; i++) agent.print("more\n");
    // An answer to a heartbeat that was sent later shows that all was read, and no ack was due.
    agent.beat(1n);
    await agent.next("heartbeatReply");
    const acked = agent.received.flatMap((answer) => (answer.case === "ack" ? [answer.value.logs] : []));
    expect(acked.filter((logs) => logs > 0n)).toEqual([]);
    first.resolve();
    await agent.acked(0n, 51n);
    expect(datasync.mock.calls.length).toBe(2);
    vi.restoreAllMocks();
  });

  test("the database waits for the disk with each commit; with durability process it does not", async () => {
    const exec = vi.spyOn(DatabaseSync.prototype, "exec");
    await testTracker({ durability: "disk" });
    expect(exec.mock.calls.flat().join()).toContain("synchronous = FULL");
    exec.mockClear();
    await testTracker();
    expect(exec.mock.calls.flat().join()).toContain("synchronous = NORMAL");
    vi.restoreAllMocks();
  });
});

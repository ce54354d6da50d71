import { describe, expect, it } from "vitest";
import { silentLogger } from "../../../src/base/logger.ts";
import { create } from "@bufbuild/protobuf";
import { JobSchema, JobState } from "../../../src/gen/belay/v1/job_pb.ts";
import { openStore } from "../../../src/tracker/store/open-store.ts";
import type { Store } from "../../../src/tracker/store/types.ts";
import { testDirectory } from "../../helpers/tracker.ts";

const all = { count: 100_000, bytes: 2 ** 30 };

function open(directory: string): Store {
  return openStore(directory, silentLogger, { durability: "process", logLimit: 0 });
}

/** A change that ends spans. */
function end(store: Store, key: number, ended: string[], notes = ""): Promise<void> {
  const job = create(JobSchema, { jobId: `j${key}`, spec: { command: ["true"] }, state: JobState.RUNNING });
  const put = { job, resumeState: JobState.SETTING_UP, open: true, spec: true };
  return store.commit({ key, job: put, trace: { notes, ended } });
}

describe("Spans that wait for their export", () => {
  it("are given in order, stay until they are removed, and outlive the store and their job", async () => {
    const directory = await testDirectory();
    const store = open(directory);
    await end(store, 1, ["a", "b"]);
    await end(store, 1, ["c"]);
    expect(store.spans.oldest({ count: 2, bytes: 1000 }).bodies).toEqual(["a", "b"]);
    const { last, bodies } = store.spans.oldest({ count: 100, bytes: 2 });
    expect(bodies).toEqual(["a", "b"]);
    await store.spans.remove(last);
    await store.remove(1, "j1", 1);
    await store.close();
    const again = open(directory);
    expect([again.spans.count, again.spans.bytes]).toEqual([1, 1]);
    expect(again.spans.oldest(all).bodies).toEqual(["c"]);
    await again.close();
  });

  it("come at least one at a time, however large it is", async () => {
    const store = open(await testDirectory());
    await end(store, 1, ["large".repeat(100), "small"]);
    expect(store.spans.oldest({ count: 10, bytes: 10 }).bodies).toEqual(["large".repeat(100)]);
    await store.close();
  });

  it("are at most 16 MiB: the oldest are dropped, and counted", async () => {
    const store = open(await testDirectory());
    const body = (i: number): string => `${i}`.padStart(2 ** 20, "x");
    for (let i = 0; i < 20; i++) await end(store, 1, [body(i)]);
    expect(store.spans.dropped).toBe(4);
    expect(store.spans.bytes).toBe(16 * 2 ** 20);
    expect(store.spans.oldest(all).bodies.map((text) => Number(text.replaceAll("x", "")))).toEqual(
      Array.from({ length: 16 }, (_, i) => i + 4),
    );
    await store.close();
  });

  it("are stored with the change that ended them, or not at all", async () => {
    const store = open(await testDirectory());
    await end(store, 1, ["kept"]);
    // No job of this key: the transaction fails.
    await expect(store.commit({ key: 99, trace: { notes: "n", ended: ["lost"] } })).rejects.toThrow("FOREIGN KEY");
    expect([store.spans.count, store.spans.oldest(all).bodies]).toEqual([1, ["kept"]]);
    await store.close();
  });
});

describe("Notes on spans that are not over", () => {
  it("are there when the job is loaded, until they are no longer needed or the job is removed", async () => {
    const store = open(await testDirectory());
    const notes = async () => (await store.load("j1"))?.traceNotes;
    await end(store, 1, [], "first");
    await end(store, 1, [], "second");
    expect(await notes()).toBe("second");
    await end(store, 1, []);
    expect(await notes()).toBe("");
    await end(store, 1, [], "third");
    await store.remove(1, "j1", 1);
    await end(store, 1, []);
    expect(await notes()).toBe("");
    await store.close();
  });
});

import type { MessageInitShape } from "@bufbuild/protobuf";
import { create } from "@bufbuild/protobuf";
import { durationFromMs, timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { silentLogger } from "../../../../src/base/logger.ts";
import { JobSpecSchema, JobState } from "../../../../src/gen/belay/v1/job_pb.ts";
import { deadlineOf } from "../../../../src/tracker/jobs/deadlines/deadline-fields.ts";
import { Deadlines } from "../../../../src/tracker/jobs/deadlines/deadlines.ts";
import { JobChanges } from "../../../../src/tracker/jobs/job-changes.ts";
import type { LiveJob } from "../../../../src/tracker/jobs/live-job.ts";
import { JobRegistry } from "../../../../src/tracker/jobs/registry.ts";
import { openStore } from "../../../../src/tracker/store/open-store.ts";
import { ManualClock } from "../../../helpers/manual-clock.ts";
import { testDirectory } from "../../../helpers/tracker.ts";

const LEASE = 30_000;
const HOUR = 3_600_000;

type Spec = Omit<MessageInitShape<typeof JobSpecSchema>, "$typeName">;

/** The jobs of a tracker without its network, on a clock of the test's own. */
class World {
  readonly clock: ManualClock;
  readonly directory: string;
  readonly registry: JobRegistry;
  readonly deadlines: Deadlines;
  /** Ids of the jobs whose deadline has passed, in order. */
  readonly expired: string[] = [];
  /** What the deadline of a job does. */
  onExpire: (live: LiveJob) => Promise<void>;
  readonly store: ReturnType<typeof openStore>;

  constructor(directory: string, clock: ManualClock, lostTimeout: number) {
    this.directory = directory;
    this.clock = clock;
    this.store = openStore(directory, silentLogger, { durability: "process", logLimit: 0 });
    const { store } = this;
    const changes = new JobChanges(store.highest.version);
    this.registry = new JobRegistry({ store, clock, changes, logger: silentLogger, lostTimeout });
    this.onExpire = (live) => this.become(live, JobState.FAILED);
    this.deadlines = new Deadlines({
      registry: this.registry,
      store,
      clock,
      changes,
      logger: silentLogger,
      lease: LEASE,
      lostTimeout,
      expire: (live) => {
        this.expired.push(live.id);
        return this.onExpire(live);
      },
    });
  }

  static async start(lostTimeout = HOUR): Promise<World> {
    const world = new World(await testDirectory(), new ManualClock(), lostTimeout);
    onTestFinished(() => world.close());
    return world;
  }

  /** Another tracker on the same data, after some time. */
  async restart(ms: number, prepare?: (next: World) => void): Promise<World> {
    await this.close();
    this.clock.advance(ms);
    const next = new World(this.directory, this.clock, HOUR);
    onTestFinished(() => next.close());
    prepare?.(next);
    await next.deadlines.restore(await next.registry.open());
    return next;
  }

  async close(): Promise<void> {
    await this.deadlines.close();
    await this.store.close();
  }

  async create(jobId: string, spec: Spec = {}): Promise<LiveJob> {
    const whole = create(JobSpecSchema, { command: ["true"], ...spec });
    return (await this.registry.create(jobId, { spec: whole }, "waits"))[0];
  }

  async become(live: LiveJob, state: JobState): Promise<void> {
    live.job.state = state;
    await this.registry.commit(live, {});
  }

  /** Lets time pass, then waits until its effects are stored. */
  async pass(ms: number): Promise<void> {
    this.clock.advance(ms);
    await this.rest();
  }

  /** Waits until deadlines that have passed are dealt with. */
  async rest(): Promise<void> {
    for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
  }
}

const waits = (ms: number): Spec => ({ pendingTimeout: durationFromMs(ms) });

describe("A job that waits for its first agent", () => {
  test("has a deadline if its spec gives it one, and it passes exactly then", async () => {
    const world = await World.start();
    const [a, b] = [await world.create("a", waits(5_000)), await world.create("b")];
    await world.create("c", waits(0));
    expect(deadlineOf(a.job)).toBe(world.clock.now() + 5_000);
    expect(deadlineOf(b.job)).toBeUndefined();
    await world.pass(4_999);
    expect(world.expired).toEqual([]);
    await world.pass(1);
    expect(world.expired).toEqual(["a"]);
    expect(deadlineOf(a.job)).toBeUndefined();
    await world.pass(HOUR);
    expect(world.expired).toEqual(["a"]);
  });

  test("has none when an agent made it: it has that agent", async () => {
    const { registry } = await World.start();
    const spec = create(JobSpecSchema, { command: ["true"], ...waits(5_000) });
    const [live] = await registry.create("a", { spec }, "takes");
    expect(deadlineOf(live.job)).toBeUndefined();
  });

  test("has none any more once an agent has it", async () => {
    const world = await World.start();
    const live = await world.create("a", waits(5_000));
    await world.become(live, JobState.RUNNING);
    expect(live.job.pendingUntil).toBeUndefined();
    await world.pass(HOUR);
    expect(world.expired).toEqual([]);
    expect(world.clock.pending).toBe(0);
  });
});

describe("A LOST job", () => {
  test("has the deadline of its spec, else the tracker's; 0 is for ever; it goes when the agent is back", async () => {
    const world = await World.start();
    const own = await world.create("own", { lostTimeout: durationFromMs(10_000) });
    const tracker = await world.create("tracker");
    const never = await world.create("never", { lostTimeout: durationFromMs(0) });
    const back = await world.create("back");
    for (const live of [own, tracker, never, back]) await world.become(live, JobState.LOST);
    const lost = world.clock.now();
    expect([own, tracker, never].map(({ job }) => deadlineOf(job))).toEqual([lost + 10_000, lost + HOUR, undefined]);
    await world.pass(10_000);
    expect(world.expired).toEqual(["own"]);
    await world.become(back, JobState.RUNNING);
    expect(back.job.lostUntil).toBeUndefined();
    await world.pass(HOUR);
    expect(world.expired).toEqual(["own", "tracker"]);
    await world.become(back, JobState.LOST);
    expect(deadlineOf(back.job)).toBe(world.clock.now() + HOUR);
  });

  test("is LOST for ever at a tracker that says so", async () => {
    const world = await World.start(0);
    const live = await world.create("a");
    await world.become(live, JobState.LOST);
    await world.pass(100 * HOUR);
    expect(world.expired).toEqual([]);
  });
});

describe("Many deadlines", () => {
  test("pass in order, with one timer for all of them", async () => {
    const world = await World.start();
    const times = Array.from({ length: 300 }, (_, i) => ((i * 7_919) % 300) * 1_000 + 1_000);
    for (const [i, ms] of times.entries()) await world.create(`j${i}`, waits(ms));
    expect(world.clock.pending).toBe(1);
    for (let i = 0; i < 300; i++) await world.pass(1_000);
    const inOrder = times.map((ms, i) => ({ ms, i })).toSorted((a, b) => a.ms - b.ms);
    expect(world.expired).toEqual(inOrder.map(({ i }) => `j${i}`));
    expect(world.clock.pending).toBe(0);
  });

  test("of the same moment are all handled, except the one of a deleted job", async () => {
    const world = await World.start();
    for (let i = 0; i < 250; i++) await world.create(`j${i}`, waits(1_000));
    const gone = await world.registry.get("j7");
    await world.registry.remove(gone);
    await world.pass(1_000);
    await expect.poll(() => world.expired.length).toBe(249);
    expect(world.expired).not.toContain("j7");
  });

  test("that move a thousand times leave nothing behind", async () => {
    const world = await World.start();
    const live = await world.create("a");
    for (let i = 0; i < 1_000; i++) {
      await world.become(live, i % 2 === 0 ? JobState.LOST : JobState.RUNNING);
      world.clock.advance(10);
    }
    await world.pass(HOUR + 10);
    expect(world.expired).toEqual([]);
    expect(world.clock.pending).toBe(0);
  });
});

describe("A deadline", () => {
  test("is not moved by setting the machine's clock", async () => {
    const world = await World.start();
    await world.create("a", waits(60_000));
    const now = world.clock.now.bind(world.clock);
    world.clock.now = () => now() + 24 * HOUR;
    await world.create("b", waits(90_000));
    await world.pass(59_999);
    expect(world.expired).toEqual([]);
    await world.pass(1);
    expect(world.expired).toEqual(["a"]);
    await world.pass(30_000);
    expect(world.expired).toEqual(["a", "b"]);
  });

  test("that cannot be stored is tried again", async () => {
    const world = await World.start();
    await world.create("a", waits(1_000));
    const { onExpire } = world;
    world.onExpire = () => Promise.reject(new Error("disk full"));
    await world.pass(1_000);
    world.onExpire = onExpire;
    await world.pass(9_999);
    expect(world.expired).toEqual(["a"]);
    await world.pass(1);
    expect(world.expired).toEqual(["a", "a"]);
    await world.pass(HOUR);
    expect(world.expired).toEqual(["a", "a"]);
  });

  test("is a lease later where the tracker itself was stopped when it passed", async () => {
    const world = await World.start();
    const live = await world.create("a", waits(60_000));
    world.clock.stall(HOUR);
    await world.rest();
    expect(world.expired).toEqual([]);
    expect(deadlineOf(live.job)).toBe(world.clock.now() + LEASE);
    await world.pass(LEASE);
    expect(world.expired).toEqual(["a"]);
  });
});

describe("A tracker that starts again", () => {
  test("keeps deadlines that lie ahead", async () => {
    const before = await World.start();
    await before.create("a", waits(10 * 60_000));
    const until = before.clock.now() + 10 * 60_000;
    const after = await before.restart(5 * 60_000);
    const live = await after.registry.get("a");
    expect(deadlineOf(live.job)).toBe(until);
    await after.pass(5 * 60_000 - 1);
    expect(after.expired).toEqual([]);
    await after.pass(1);
    expect(after.expired).toEqual(["a"]);
  });

  test("gives a lease to those that passed meanwhile or come at once, and stores that", async () => {
    const before = await World.start();
    await before.create("passed", waits(1_000));
    const lost = await before.create("soon", { lostTimeout: durationFromMs(HOUR + 1_000) });
    await before.become(lost, JobState.LOST);
    const after = await before.restart(HOUR);
    const start = after.clock.now();
    const jobs = [await after.registry.get("passed"), await after.registry.get("soon")];
    expect(jobs.map(({ job }) => deadlineOf(job))).toEqual([start + LEASE, start + LEASE]);
    expect(jobs[1]?.job.lostUntil).toEqual(timestampFromMs(start + LEASE));
    const again = await after.restart(1_000);
    const stored = (await again.registry.get("passed")).job.pendingUntil;
    expect(stored === undefined ? 0 : timestampMs(stored)).toBe(start + 1_000 + LEASE);
    await again.pass(LEASE - 1);
    expect(again.expired).toEqual([]);
    await again.pass(1);
    expect(again.expired.toSorted()).toEqual(["passed", "soon"]);
  });

  test("does so, and starts, although its disk is full", async () => {
    const before = await World.start();
    await before.create("a", waits(1_000));
    const after = await before.restart(HOUR, ({ store }) => {
      vi.spyOn(store, "commit").mockImplementationOnce((change) => {
        change.failed?.();
        return Promise.reject(new Error("database or disk is full"));
      });
    });
    expect(deadlineOf((await after.registry.get("a")).job)).toBe(after.clock.now() + LEASE);
    await after.pass(LEASE - 1);
    expect(after.expired).toEqual([]);
    await after.pass(1);
    expect(after.expired).toEqual(["a"]);
  });

  test("gives a deadline to LOST jobs of a tracker that had none", async () => {
    const before = await World.start(0);
    const live = await before.create("a");
    await before.become(live, JobState.LOST);
    expect(live.job.lostUntil).toBeUndefined();
    const after = await before.restart(100 * HOUR);
    expect(deadlineOf((await after.registry.get("a")).job)).toBe(after.clock.now() + HOUR);
    await after.pass(HOUR);
    expect(after.expired).toEqual(["a"]);
  });
});

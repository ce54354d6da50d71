import { readdirSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { clone, create } from "@bufbuild/protobuf";
import { durationFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { Code } from "@connectrpc/connect";
import { expect } from "vitest";
import { isEnded, isRunning } from "../../../../src/contract/states.ts";
import {
  type Job,
  JobSchema,
  JobSpecSchema,
  JobState,
  type RetryPolicy,
  RetryPolicySchema,
} from "../../../../src/gen/belay/v1/job_pb.ts";
import { CancelJobRequestSchema, PauseJobRequestSchema } from "../../../../src/gen/belay/v1/job_service_pb.ts";
import { deadlineOf } from "../../../../src/tracker/jobs/deadlines/deadline-fields.ts";
import { snapshotOf } from "../../../../src/tracker/jobs/shown/snapshot.ts";
import { ManualClock } from "../../../helpers/manual-clock.ts";
import { InProcessTracker, rest, TIMES } from "../../../helpers/tracker-in-process.ts";
import { testDirectory } from "../../../helpers/tracker.ts";
import type { Action, HelloFields, Setting } from "./actions.ts";
import { HistoryAgent } from "./history-agent.ts";
import { JobLaws, lasting } from "./laws.ts";

/** How often something has happened in all histories, by name: a law about something that never happens would say nothing. */
export const seen: Map<string, number> = new Map();
function note(what: string): void {
  seen.set(what, (seen.get(what) ?? 0) + 1);
}

/** A tracker that is started again and again on the same data. All histories have the same one: to begin one takes long. */
export class World {
  readonly clock: ManualClock;
  tracker: InProcessTracker;
  private readonly directory: string;

  private constructor(directory: string, tracker: InProcessTracker, clock: ManualClock) {
    this.directory = directory;
    this.tracker = tracker;
    this.clock = clock;
  }

  static async begin(): Promise<World> {
    const [directory, clock] = [await testDirectory(), new ManualClock()];
    return new World(directory, await InProcessTracker.start(directory, clock), clock);
  }

  /** How many files of a job's logs are open. */
  openLogs(key: number): number {
    const logs = join(this.directory, "logs", String(key));
    return readdirSync("/proc/self/fd").filter((fd) => pathOf(fd).startsWith(`${logs}/`)).length;
  }

  /** The tracker is away for a time. */
  async restart(ms: number): Promise<void> {
    await this.tracker.close();
    this.clock.advance(ms);
    this.tracker = await InProcessTracker.start(this.directory, this.clock);
  }
}

/** Empty: it has been closed meanwhile. */
function pathOf(fd: string): string {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return "";
  }
}

/** One history: a job of its own, its agents, and the job as it was after each change. */
export class History {
  readonly policy: RetryPolicy | undefined;
  private readonly id: string;
  private readonly world: World;
  private readonly setting: Setting;
  private readonly agents: HistoryAgent[] = [];
  private readonly all: HistoryAgent[] = [];
  private readonly laws = new JobLaws(note);
  /** The job after each change. Checked later: the tracker would take a law that is broken for a failure of its store. */
  private readonly changes: Job[] = [];
  private commands = 0;

  constructor(world: World, id: string, setting: Setting) {
    this.world = world;
    this.id = id;
    this.setting = setting;
    const { policy } = setting;
    if (policy === undefined) return;
    const { maxAttempts, on, delay, wait } = policy;
    this.policy = create(RetryPolicySchema, {
      maxAttempts,
      on,
      delay: durationFromMs(delay),
      wait: durationFromMs(wait),
    });
  }

  private get tracker(): InProcessTracker {
    return this.world.tracker;
  }

  private get clock(): ManualClock {
    return this.world.clock;
  }

  async begin(): Promise<void> {
    this.watch();
    for (let i = 0; i < 3; i++) this.agents.push(this.newAgent());
    const spec = create(JobSpecSchema, { command: ["true"], ...(this.policy && { retry: this.policy }) });
    if (this.setting.submitted) {
      await this.tracker.registry.create(this.id, { spec }, "waits");
    } else {
      await this.agents[0]?.connect(
        this.tracker,
        { takeOver: false, spec: "same", nextAttemptFollows: false, deliversOnly: false },
        this.policy,
      );
    }
    await this.check();
  }

  async end(): Promise<void> {
    for (const one of this.all) one.stream?.break();
    await rest();
    const live = await this.tracker.registry.find(this.id);
    if (live === undefined) return;
    await this.tracker.registry.remove(live);
    await this.tracker.until(async () => this.world.openLogs(live.key) === 0, "no log of a job that is gone is open");
  }

  async take(step: Action): Promise<void> {
    const done = new Set(this.laws.done.keys());
    await this.perform(step);
    await rest();
    await this.check();
    for (const commandId of this.all.flatMap((one) => one.takeDelivered())) {
      expect(done.has(commandId), `command ${commandId} is not sent when it is done`).toBe(false);
    }
  }

  private async perform(step: Action): Promise<void> {
    switch (step.do) {
      case "pass":
        return this.tracker.pass(step.ms);
      case "pass with heartbeats":
        // Hours of them would say no more than minutes do.
        for (let left = Math.min(step.ms, 61_000); left > 0; left -= TIMES.heartbeat) {
          for (const each of this.all) if (each.isOpen) each.beat();
          await this.tracker.pass(Math.min(left, TIMES.heartbeat));
        }
        return;
      case "stall":
        return this.clock.stall(step.ms);
      case "restart":
        return this.restart(step.ms);
      case "cancel":
      case "pause":
        return this.order(step.do);
      case "race":
        note("race");
        await Promise.all(this.agents.map((each) => each.connect(this.tracker, step, this.policy)));
        return;
      case "fresh":
        if (this.agents[step.agent]?.isOpen === false) this.agents[step.agent] = this.newAgent();
        return this.admit(step.agent, step);
      case "hello":
        return this.admit(step.agent, step);
      default: {
        const one = this.agents[step.agent];
        if (one?.isOpen === true) await one.take(step);
      }
    }
  }

  /** A Hello, and who may be admitted. */
  private async admit(index: number, fields: HelloFields): Promise<void> {
    const one = this.agents[index];
    const before = this.laws.latest;
    if (one === undefined) return;
    const had = one.attempt;
    await one.connect(this.tracker, fields, this.policy);
    const { end } = one.stream ?? {};
    const count = before?.attempts.length ?? 0;
    if (before === undefined) return;
    const isFenced = before.attempts[had - 1]?.superseded === true;
    if (had === count && isFenced && fields.deliversOnly) {
      expect(one.attempt, "what a dead agent left is delivered to its own attempt").toBe(had);
      if (end === undefined) note("late delivery");
    } else if (had > 0 && (had < count || isFenced)) {
      expect(end?.code, "a session that was superseded is refused").toBe(Code.FailedPrecondition);
      note("a superseded session comes back");
    }
    if (end !== undefined || had > 0) return;
    expect(fields.deliversOnly, "a session that only delivers gets no attempt").toBe(false);
    expect(one.attempt, "attempts rise by one").toBe(count + 1);
    expect(isEnded(before.state), "an ended job gets no attempt").toBe(false);
    if (isRunning(before.state)) {
      expect(fields.takeOver, "a job under another session is left to it").toBe(true);
      note("takeover");
    }
    if (before.state === JobState.PENDING) {
      const from = before.pendingFrom === undefined ? 0 : timestampMs(before.pendingFrom);
      expect(from, "not before pending_from").toBeLessThanOrEqual(this.clock.now());
      if (count > 0) note("next attempt");
    }
    if (before.state === JobState.LOST) note("lost job taken");
    expect(fields.spec === "other" && this.policy !== undefined, "another policy is refused").toBe(false);
  }

  private async order(kind: "cancel" | "pause"): Promise<void> {
    const { jobs, caller } = this.tracker;
    const commandId = `c${++this.commands}`;
    const before = this.laws.latest;
    try {
      if (kind === "pause") await jobs.pauseJob(create(PauseJobRequestSchema, { jobId: this.id, commandId }), caller);
      else await jobs.cancelJob(create(CancelJobRequestSchema, { jobId: this.id, commandId }), caller);
      if (kind === "cancel" && before?.state === JobState.PENDING) {
        note(before.attempts.length === 0 ? "cancel before the first attempt" : "cancel between attempts");
      }
    } catch (error) {
      expect(error).toMatchObject({ code: kind === "pause" ? Code.FailedPrecondition : Code.NotFound });
    }
  }

  private async restart(ms: number): Promise<void> {
    note("restart");
    for (const one of this.all) one.stream?.break();
    await rest();
    await this.world.restart(ms);
    this.watch();
  }

  private watch(): void {
    this.tracker.changes.onChange(({ jobId }) => {
      const live = jobId === this.id ? this.tracker.registry.peek(jobId) : undefined;
      if (live !== undefined) this.changes.push(clone(JobSchema, snapshotOf(live)));
    });
  }

  private newAgent(): HistoryAgent {
    const one = new HistoryAgent(this.id, `session-${this.all.length + 1}`);
    this.all.push(one);
    return one;
  }

  private async isOverdue(): Promise<boolean> {
    const live = await this.tracker.registry.find(this.id);
    const until = live === undefined ? undefined : deadlineOf(live.job);
    return until !== undefined && until <= this.clock.now();
  }

  /** What holds once everything is at rest. */
  private async check(): Promise<void> {
    await this.tracker.until(async () => !(await this.isOverdue()), "no deadline has passed");
    for (const one of this.all) one.read();
    const live = await this.tracker.registry.find(this.id);
    const stored = await this.tracker.store.load(this.id);
    if (live === undefined || stored === undefined) {
      expect([live, stored], "what is in memory is stored").toEqual([undefined, undefined]);
      return;
    }
    for (const job of [...this.changes.splice(0), clone(JobSchema, snapshotOf(live))]) this.laws.observe(job);
    expect(lasting(stored.job), "what is in memory is stored").toEqual(lasting(live.job));
    // A job may wait for years.
    if (!live.usesLog) await this.tracker.until(async () => this.world.openLogs(live.key) === 0, "its log is closed");
    const latest = this.all.find(({ attempt }) => attempt > 0 && attempt === live.attempt?.attempt);
    if (live.job.state === JobState.LOST && live.attempt?.result !== undefined) {
      expect(latest?.nextAttemptFollows, "an attempt that has ended is LOST only for the next one").toBe(true);
    }
    const open = this.all.filter(({ isOpen }) => isOpen);
    expect(open.length, "one session is admitted at once").toBeLessThanOrEqual(1);
    for (const { attempt } of open) expect(attempt, "the latest is admitted").toBe(live.job.attempts.length);
  }
}

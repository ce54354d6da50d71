import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { describe, expect, it } from "vitest";
import { StallWatch } from "../../../src/agent/health/stall-watch.ts";
import type { EndOrder } from "../../../src/agent/job/types.ts";
import { EndReason, JobState, StallAction, StallPolicySchema, StallSign } from "../../../src/gen/belay/v1/job_pb.ts";
import { ManualClock } from "../../helpers/manual-clock.ts";

/** A job whose signs of life the test gives, watched by a clock that the test moves. */
class WatchedJob {
  readonly clock = new ManualClock();
  readonly reported: string[] = [];
  readonly orders: EndOrder[] = [];
  readonly watch: StallWatch;
  private printed = this.clock.monotonic();
  private cpu = 0;
  full = false;
  /** Milliseconds that a measurement of processor time takes, and how many there were. */
  measuring = 0;
  measured = 0;

  constructor(policy: { signs?: StallSign[]; action?: StallAction }, after = 60_000) {
    this.watch = new StallWatch(create(StallPolicySchema, { ...policy, after: durationFromMs(after) }), {
      job: {
        state: JobState.RUNNING,
        vitals: () => ({
          outputSilence: this.full ? 0 : this.clock.monotonic() - this.printed,
          cpuSeconds: () => {
            this.measured++;
            this.clock.spend(this.measuring);
            return this.cpu;
          },
          members: () => [],
        }),
        end: (order) => this.orders.push(order),
      },
      clock: this.clock,
      stalled: (message) => this.reported.push(message ?? "well"),
      notice: (message) => this.reported.push(message.split("\n", 1)[0] ?? ""),
      withoutSecrets: (text) => text,
    });
  }

  print(): void {
    this.printed = this.clock.monotonic();
  }

  /** Lets time pass in which the job uses a share of one processor. */
  compute(ms: number, share: number): void {
    for (let passed = 0; passed < ms; passed += 100) {
      this.cpu += (share * 100) / 1000;
      this.clock.advance(100);
    }
  }
}

describe("A main command that gives no sign of life", () => {
  it("is stalled exactly when the time has passed since its last output, and well again at the next", () => {
    const job = new WatchedJob({});
    job.clock.advance(32_345);
    job.print();
    job.clock.advance(59_999);
    expect(job.reported).toEqual([]);
    job.clock.advance(1);
    expect(job.reported).toEqual([
      "The job has stalled. No output or progress for 1m. Its processes:",
      "No output or progress for 1m",
    ]);
    job.clock.advance(600_000);
    job.print();
    job.clock.advance(5000);
    expect(job.reported.slice(2)).toEqual(["The job has given a sign of life again: output", "well"]);
    job.clock.advance(59_999);
    expect(job.reported.slice(4)).toHaveLength(2);
    expect(job.orders).toEqual([]);
  });

  it("counts progress as one, unless the policy wants another", () => {
    const byDefault = new WatchedJob({});
    const byOutput = new WatchedJob({ signs: [StallSign.OUTPUT] });
    for (let i = 0; i < 8; i++) {
      for (const { clock, watch } of [byDefault, byOutput]) {
        clock.advance(10_000);
        watch.progressed();
      }
    }
    expect(byDefault.reported).toEqual([]);
    expect(byOutput.reported[1]).toBe("No output for 1m");
  });

  it("counts 1 % of a processor as one, where the policy says so", () => {
    const signs = [StallSign.OUTPUT, StallSign.CPU];
    const busy = new WatchedJob({ signs });
    busy.compute(120_000, 0.011);
    expect(busy.reported).toEqual([]);
    const idle = new WatchedJob({ signs });
    idle.compute(120_000, 0.009);
    expect(idle.reported[1]).toBe("No output or processor time for 1m");
    const spinning = new WatchedJob({});
    spinning.compute(120_000, 1);
    expect(spinning.reported[1]).toBe("No output or progress for 1m");
    idle.compute(5000, 0.5);
    expect(idle.reported[2]).toBe("The job has given a sign of life again: processor time");
  });

  it("has time that it was paused taken off", () => {
    const job = new WatchedJob({});
    job.clock.advance(30_000);
    job.watch.stateChanged(JobState.PAUSED);
    job.clock.advance(3_600_000);
    job.watch.stateChanged(JobState.RUNNING);
    job.clock.advance(29_999);
    expect(job.reported).toEqual([]);
    job.clock.advance(1);
    expect(job.reported).toHaveLength(2);
  });

  it("is not to blame while its output is not read", () => {
    const job = new WatchedJob({});
    job.full = true;
    job.clock.advance(600_000);
    expect(job.reported).toEqual([]);
  });

  it("is not stalled because the agent itself was stopped", () => {
    const job = new WatchedJob({});
    job.clock.advance(10_000);
    job.clock.stall(300_000);
    expect(job.reported).toEqual([]);
    job.clock.advance(60_000);
    expect(job.reported).toHaveLength(2);
  });

  it("is noticed also where measuring it takes long: then it is measured every 5 s", () => {
    const job = new WatchedJob({ signs: [StallSign.CPU] }, 4000);
    job.measuring = 50;
    job.clock.advance(12_000);
    expect(job.reported[1]).toBe("No processor time for 4.0s");
    job.measured = 0;
    job.clock.advance(60_000);
    expect(job.measured).toBeGreaterThanOrEqual(11);
    expect(job.measured).toBeLessThanOrEqual(13);
  });

  it("is ended where the policy says so, once", () => {
    const job = new WatchedJob({ action: StallAction.END, signs: [StallSign.OUTPUT] }, 1000);
    job.clock.advance(60_000);
    expect(job.orders).toEqual([
      { reason: EndReason.STALLED, message: "Main command gave no sign of life: no output for 1.0s" },
    ]);
    expect(job.clock.pending).toBe(0);
  });

  it("is watched no more once it has ended, or is being ended", () => {
    const ended = new WatchedJob({});
    ended.watch.close();
    const canceled = new WatchedJob({});
    canceled.watch.stateChanged(JobState.CANCELING);
    for (const job of [ended, canceled]) {
      job.clock.advance(120_000);
      expect(job.reported).toEqual([]);
      expect(job.clock.pending).toBe(0);
    }
  });
});

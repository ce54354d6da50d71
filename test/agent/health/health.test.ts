import { create } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { describe, expect, it } from "vitest";
import { AttemptHealth } from "../../../src/agent/health/health.ts";
import { healthName } from "../../../src/contract/names.ts";
import { type Health, MetricSampleSchema } from "../../../src/gen/belay/v1/job_pb.ts";
import { ManualClock } from "../../helpers/manual-clock.ts";

const GiB = 1n << 30n;

function memory(share: number) {
  return create(MetricSampleSchema, {
    memoryBytes: BigInt(Math.round(share * 1000)) * (GiB / 1000n),
    memoryLimitBytes: GiB,
  });
}

function watched() {
  const clock = new ManualClock();
  const reports: Health[] = [];
  const health = new AttemptHealth((value) => void reports.push(value), clock);
  return { clock, reports, health, names: () => reports.map(({ status }) => healthName(status)) };
}

describe("The health of an attempt", () => {
  it("is near the memory limit from 95 % of it, and OK again below 90 %", () => {
    const { health, reports, names } = watched();
    for (const share of [0.5, 0.94, 0.951, 0.94, 0.96, 0.9, 0.89, 0.94]) health.sample(memory(share));
    expect(names()).toEqual(["NEAR_MEMORY_LIMIT", "OK"]);
    expect(reports.map(({ message }) => message)).toEqual([
      "The job uses 973.8 MiB of the 1.0 GiB of memory that it may use (95 %)",
      "",
    ]);
  });

  it("has no limit where none is set", () => {
    const { health, reports } = watched();
    health.sample(create(MetricSampleSchema, { memoryBytes: GiB }));
    expect(reports).toEqual([]);
  });

  it.for([
    [{ cpuPressure: 0.5 }, "Processes of the job waited for a processor during 50 % of the last 10 s"],
    [{ cpuPressure: 0.6, memoryPressure: 0.62 }, "Processes of the job waited for memory during 62 % of the last 10 s"],
    [{ ioPressure: 0.999 }, "Processes of the job waited for storage during 99 % of the last 10 s"],
  ] as const)("is STARVED under pressure: %j", ([pressure, message]) => {
    const { health, reports, names } = watched();
    health.sample(create(MetricSampleSchema, { cpuPressure: 0.49 }));
    health.sample(create(MetricSampleSchema, pressure));
    health.sample(create(MetricSampleSchema, { cpuPressure: 0.4 }));
    health.sample(create(MetricSampleSchema, { cpuPressure: 0.39 }));
    expect(names()).toEqual(["STARVED", "OK"]);
    expect(reports[0]?.message).toBe(message);
  });

  it("is AGENT_SLOW while the event loop is blocked for a second between two heartbeats", () => {
    const { health, reports, names } = watched();
    for (const ms of [5, 999, 1000, 2300, 7]) health.loopDelay(ms);
    expect(names()).toEqual(["AGENT_SLOW", "OK"]);
    expect(reports[0]?.message).toBe("The agent's event loop was blocked for 1.0s");
  });

  it("is the most severe of what is known", () => {
    const { health, names, reports } = watched();
    health.loopDelay(1500);
    health.stalled("No output for 5m");
    health.sample(memory(0.97));
    health.stalled(undefined);
    expect(names()).toEqual(["AGENT_SLOW", "STALLED", "NEAR_MEMORY_LIMIT"]);
    expect(reports[1]?.message).toBe("No output for 5m");
    health.sample(memory(0.1));
    expect(names().at(-1)).toBe("AGENT_SLOW");
  });

  it("is reported 4 times at once and then once in 5 s while it flaps, and ends with the latest status", () => {
    const { clock, health, names, reports } = watched();
    for (let i = 0; i < 1000; i++) {
      health.loopDelay(i % 2 === 0 ? 2000 : 0);
      clock.advance(100);
    }
    // 100 s: those at once, and one in each 5 s.
    expect(reports.length).toBeGreaterThan(10);
    expect(reports.length).toBeLessThanOrEqual(4 + 20);
    health.loopDelay(2000);
    const since = clock.now();
    clock.advance(5000);
    expect(names().at(-1)).toBe("AGENT_SLOW");
    const last = reports.at(-1)?.since;
    expect(last === undefined ? 0 : timestampMs(last)).toBeLessThanOrEqual(since);
    expect(clock.pending).toBe(0);
  });

  it("is not reported once the main command has ended", () => {
    const { clock, health, names } = watched();
    health.stalled("No output for 5m");
    health.close(false);
    health.stalled(undefined);
    clock.advance(60_000);
    expect(names()).toEqual(["STALLED"]);
  });

  it("is OK again at the end of the main command when steps follow", () => {
    const { health, names } = watched();
    health.stalled("No output for 5m");
    health.close(true);
    expect(names()).toEqual(["STALLED", "OK"]);
  });
});

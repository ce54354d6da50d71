import type { MessageInitShape } from "@bufbuild/protobuf";
import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { metricsView } from "../../../../src/cli/render/metrics/view.ts";
import { Series } from "../../../../src/cli/render/metrics/series.ts";
import { textWidth } from "../../../../src/cli/terminal/text-width.ts";
import { styleOf } from "../../../../src/cli/render/style.ts";
import { JobSchema, JobState } from "../../../../src/gen/belay/v1/job_pb.ts";
import { ReadMetricsResponseSchema } from "../../../../src/gen/belay/v1/job_service_pb.ts";

const SECOND = 1_000_000_000n;
const MiB = 1024n * 1024n;

/** Ten samples of a job that takes one core more each minute, up to three of four. */
const USAGE = Array.from({ length: 10 }, (_, i) => ({
  sampleUnixNano: BigInt(i) * 60n * SECOND,
  ...(i === 0 ? {} : { cpuCores: Math.min(i, 3) }),
  cpuSeconds: [0, 60, 180, 360, 540, 720, 900, 1080, 1260, 1440][i] ?? 0,
  cpuLimitCores: 4,
  memoryBytes: BigInt(i + 1) * 100n * MiB,
  memoryLimitBytes: 2048n * MiB,
  processes: 3,
  diskWrittenBytes: BigInt(i) * 60n * MiB,
  exact: true,
}));

const OWN_METRICS = Array.from({ length: 10 }, (_, i) => ({
  readUnixNano: BigInt(i) * 60n * SECOND,
  metrics: [{ name: "loss", value: 10 - i, step: i * 100 }],
  progress: { fraction: i / 20, note: `epoch ${i}/20`, readUnixNano: BigInt(i) * 60n * SECOND },
}));

interface Options {
  readonly columns?: number;
  readonly ascii?: boolean;
  readonly state?: JobState;
  readonly usage?: boolean;
  readonly attempt?: number;
}

function shown(answer: MessageInitShape<typeof ReadMetricsResponseSchema>, options: Options = {}): string {
  const { columns = 80, ascii = false, state = JobState.RUNNING, usage = true, attempt = 1 } = options;
  const series = new Series();
  series.push(create(ReadMetricsResponseSchema, answer));
  const job = create(JobSchema, { jobId: "train-17", state });
  return metricsView({ job, attempt, series, usage }, { columns, ascii, style: styleOf({ color: false }) });
}

describe("The metrics of a job", () => {
  it("on 80 columns", () => {
    expect(shown({ samples: USAGE, jobMetrics: OWN_METRICS })).toBe(`train-17  RUNNING  10 samples in 9m
██████████████████░░░░░░░░░░░░░░░░░░░░░░  45 %  11m left  epoch 9/20

                    NOW    AVERAGE       PEAK
cpu                3.00       2.67       3.00  of 4 cores        ▃▅▅▇▇▇▇▇▇▇▇▇▇▇▇
memory          1.0 GiB  550.0 MiB    1.0 GiB  of 2.0 GiB        ▂▃▃▃▃▃▄▄▄▄▄▅▅▅▅
processes             3          –          3                    ███████████████
disk written  1.0 MiB/s  1.0 MiB/s  1.0 MiB/s  540.0 MiB in all  ███████████████

      LAST  MIN  MAX
loss     1    1   10  step 900  ██████▇▇▇▇▇▆▆▆▆▆▅▅▅▅▅▅▅▅▅▅▅▄▄▄▄▄▃▃▃▃▃▃▂▂▂▂▂▁▁▁▁▁
`);
  });

  it("on 40 columns: without notes and averages, charts on lines of their own", () => {
    expect(
      shown({ samples: USAGE, jobMetrics: OWN_METRICS }, { columns: 40 }),
    ).toBe(`train-17  RUNNING  10 samples in 9m
█████▍░░░░░░  45 %  11m left  epoch 9/20

                    NOW       PEAK
cpu                3.00       3.00
  ▃▃▃▃▅▅▅▅▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇
memory          1.0 GiB    1.0 GiB
  ▂▂▂▂▃▃▃▃▃▃▃▃▃▃▃▃▄▄▄▄▄▄▄▄▄▄▄▄▄▅▅▅▅▅▅▅▅▅
processes             3          3
  ██████████████████████████████████████
disk written  1.0 MiB/s  1.0 MiB/s
  ██████████████████████████████████████

      LAST  MIN  MAX
loss     1    1   10  ██▇▇▆▆▅▅▅▅▄▄▃▃▂▂▁▁
`);
  });

  it("on 200 columns", () => {
    const lines = shown({ samples: USAGE, jobMetrics: OWN_METRICS }, { columns: 200 }).split("\n");
    expect(Math.max(...lines.map(({ length }) => length))).toBe(200);
    expect(lines[4]).toMatch(/^cpu +3\.00 +2\.67 +3\.00 {2}of 4 cores {8}▃{15}▅{15}▇{105}$/);
  });

  it("in ASCII", () => {
    const text = shown({ samples: USAGE, jobMetrics: OWN_METRICS }, { ascii: true });
    expect(text).toMatch(/^[\n\u0020-\u007e]*$/);
    expect(text).toContain("[#################---------------------]  45 %  11m left  epoch 9/20");
    expect(text).toMatch(/^processes +3 +- +3 +@+$/m);
  });

  it("never wider than the terminal", () => {
    for (let columns = 24; columns <= 200; columns += 8) {
      const lines = shown({ samples: USAGE, jobMetrics: OWN_METRICS }, { columns }).split("\n");
      expect(Math.max(...lines.map(({ length }) => length))).toBeLessThanOrEqual(columns);
    }
  });

  it("of a job that has ended have no time left; of a further attempt the number", () => {
    const text = shown({ jobMetrics: OWN_METRICS }, { state: JobState.FAILED, attempt: 2 });
    expect(text).toMatch(/^train-17 {2}FAILED {2}attempt 2\n█{18}░{22} {2}45 % {2}epoch 9\/20\n/);
  });

  it("say when the time left is not known", () => {
    expect(shown({ jobMetrics: OWN_METRICS.slice(0, 1) })).toContain("  0 %  time left –  epoch 0/20");
  });

  it("of a job that has reported and used nothing", () => {
    expect(shown({})).toBe("train-17  RUNNING\n\nNo metrics yet.\n");
  });

  it("say what may be wrong, and what is missing", () => {
    const samples = USAGE.map((sample) => ({ ...sample, exact: false }));
    expect(shown({ samples, unkeptValues: 7n })).toMatch(
      /\n\nSums over the processes that were seen: without a cgroup,[^]*missing\.\n7 values are not kept: [^]*keeps\.\n$/,
    );
  });

  it("of merged samples: peak and average of what was merged", () => {
    const merged = { samples: 4n, firstUnixNano: 0n, peakCpuCores: 3.5, meanMemoryBytes: 100 * 2 ** 20 };
    const [cpu, memory] = shown({
      samples: [{ sampleUnixNano: 60n * SECOND, cpuCores: 1, memoryBytes: 300n * MiB, exact: true, merged }],
    })
      .split("\n")
      .slice(3);
    expect(cpu).toMatch(/^cpu +1\.00 +1\.00 +3\.50 +█+$/);
    expect(memory).toMatch(/^memory +300\.0 MiB +100\.0 MiB +300\.0 MiB +█+$/);
  });

  it("of a graphics processor", () => {
    const gpu = {
      index: 1,
      uuid: "GPU-1",
      utilization: 0.97,
      memoryUsedBytes: 60n * 1024n * MiB,
      memoryTotalBytes: 80n * 1024n * MiB,
      temperatureCelsius: 61.4,
      powerWatts: 402.3,
    };
    const text = shown({ samples: USAGE.map((sample) => ({ ...sample, gpus: [gpu] })) });
    expect(text).toMatch(/^gpu 1 +97 % +– +97 % {2}61 C, 402 W +█+$/m);
    // The last sample had no fresh reading: the one before is shown, not none.
    const stale = shown({ samples: USAGE.map((sample, i) => ({ ...sample, gpus: i < 9 ? [gpu] : [] })) });
    expect(stale).toMatch(/^gpu 1 +97 % +– +97 % {2}61 C, 402 W +█+$/m);
    const own = { ...gpu, memoryUsedBytes: 0n, memoryTotalBytes: 0n };
    expect(shown({ samples: USAGE.map((sample) => ({ ...sample, gpus: [own] })) })).not.toContain("gpu 1 memory");
    expect(text).toMatch(/^gpu 1 memory +60\.0 GiB +– +60\.0 GiB {2}of 80\.0 GiB +▇+$/m);
  });

  it("leave NaN out of the chart, and show the last one", () => {
    const jobMetrics = [1, Number.NaN].map((value, i) => ({
      readUnixNano: BigInt(i) * SECOND,
      metrics: [{ name: "loss", value }],
    }));
    expect(shown({ jobMetrics })).toMatch(/^loss {3}nan {4}1 {4}1 {2}/m);
  });

  it("stay in their columns when names and notes have wide characters", () => {
    const note = "学習".repeat(30);
    const metrics = [
      { name: "損失", value: 1 },
      { name: "x".repeat(40), value: 2 },
    ];
    const progress = { fraction: 0.5, note, readUnixNano: SECOND };
    const lines = shown({ jobMetrics: [{ readUnixNano: SECOND, metrics, progress }] }, { columns: 60 }).split("\n");
    expect(lines.map(textWidth).every((width) => width <= 60)).toBe(true);
    expect(lines.find((line) => line.startsWith("損失"))).toMatch(/^損失 {29}1 {4}1 {4}1 {2}/);
    expect(lines.find((line) => line.startsWith("xx"))).toMatch(/^x{27}… {5}2 {4}2 {4}2 {2}/);
  });

  it("show control sequences in a name or a note as text", () => {
    const hostile = "\u001b[2Jx";
    const metrics = [{ name: hostile, value: 1 }];
    const text = shown({ jobMetrics: [{ readUnixNano: SECOND, metrics, progress: { fraction: 0.5, note: hostile } }] });
    expect(text).not.toContain("\u001b");
  });
});

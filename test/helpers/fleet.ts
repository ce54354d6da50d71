import { ScriptedAgent } from "../../src/testing/index.ts";

const MiB = 2 ** 20;

/** One job of a fleet. */
export interface FleetJob {
  readonly agent: ScriptedAgent;
  readonly i: number;
}

/** Jobs like those of a busy tracker: with several names, hosts and states, samples, progress, output. */
export class Fleet {
  readonly jobs: readonly FleetJob[];

  private constructor(jobs: readonly FleetJob[]) {
    this.jobs = jobs;
  }

  static async join(address: string, count: number): Promise<Fleet> {
    const jobs = await Promise.all(
      Array.from({ length: count }, async (_, i) => {
        const agent = ScriptedAgent.connect({
          url: address,
          jobId: `${NAMES[i % NAMES.length]}-${String(i).padStart(2, "0")}`,
        });
        await agent.hello({
          spec: {
            name: TITLES[i % TITLES.length] ?? "",
            command: ["python", "train.py"],
            labels: { team: i % 2 === 0 ? "ml" : "sim" },
          },
          agent: { version: "1.0.0", hostname: `worker-${i % 12}`, pid: 100 + i },
        });
        agent.state(i % 10 === 9 ? "PAUSED" : "RUNNING");
        return { agent, i };
      }),
    );
    return new Fleet(jobs);
  }

  /** Every job sends a sample and a line; three in four also report progress. @param round 0, 1, 2 … */
  tick(round: number): void {
    for (const { agent, i } of this.jobs) {
      const now = BigInt(Date.now()) * 1_000_000n;
      const used = ((i * 37 + round * 11) % 100) / 100;
      agent.event({
        case: "metricSample",
        value: {
          sampleUnixNano: now,
          step: 1,
          cpuCores: 4 * used,
          cpuSeconds: round,
          cpuLimitCores: 4,
          memoryBytes: BigInt(Math.round((50 + i * 20 + used * 100) * MiB)),
          memoryLimitBytes: BigInt(2048 * MiB),
          processes: 3,
          exact: true,
          gpus:
            i % 5 === 0
              ? [
                  {
                    index: 0,
                    uuid: `GPU-${i}`,
                    name: "A100",
                    utilization: used,
                    memoryUsedBytes: BigInt(9_000 * MiB),
                    memoryTotalBytes: BigInt(40_000 * MiB),
                  },
                ]
              : [],
        },
      });
      if (i % 4 !== 3) {
        const fraction = Math.min(1, (round + i) / 120);
        agent.event({
          case: "jobMetrics",
          value: {
            readUnixNano: now,
            metrics: [],
            progress: { fraction, note: `epoch ${1 + (i % 9)}/10`, readUnixNano: now },
          },
        });
      }
      agent.print(`${LINES[(i + round) % LINES.length]} step=${round}\n`);
      agent.beat(BigInt(round + 1));
    }
  }

  vanish(): void {
    for (const { agent } of this.jobs) agent.vanish();
  }
}

const NAMES = ["train", "etl", "simulate", "build"];
const TITLES = ["resnet50 nightly", "", "流体シミュレーション", "release 🚀", "warehouse"];
const LINES = [
  "loss=0.3134 acc=0.912 lr=3e-4",
  "\u001b[32mINFO\u001b[0m wrote 4096 rows to /data/part-0007.parquet",
  "警告: 収束が遅い、刻み幅を半分にする",
  "compiling src/engine/solver.cc\tok",
];

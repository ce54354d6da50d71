import { createReadStream, rmSync } from "node:fs";
import path from "node:path";
import { crc32 } from "node:zlib";
import type { Bench } from "../bench.ts";
import { rounds } from "../plan.ts";
import { cpuOf } from "../processes.ts";
import type { Row } from "../row.ts";
import type { Stage } from "../stage.ts";

/** Bytes of the log. */
const BYTES = 400_000_000;
const RUNS = 5;

/** Speed of reading a log: `belay logs` into a file, checked byte for byte, against a copy of the same bytes. */
export const read: Bench = {
  name: "read",
  about: "a log of 100-byte lines read back by `belay logs > file`, against `cat log > file`; tracker's CPU meanwhile",
  async run(stage, plan): Promise<Row[]> {
    const runner = await ReadRunner.prepare(stage);
    const pairs: Pair[] = [];
    await rounds(plan, RUNS, async () => void pairs.push(await runner.pair()));
    return rowsOf(pairs);
  },
};

interface Pair {
  /** MB a second. */
  readonly reference: number;
  readonly rate: number;
  /** Processor seconds a GB: of the tracker, and of the reader. */
  readonly tracker: number;
  readonly reader: number;
}

class ReadRunner {
  private readonly stage: Stage;
  private readonly plain: string;
  private readonly out: string;
  private checksum: number | undefined;

  private constructor(stage: Stage) {
    this.stage = stage;
    this.plain = path.join(stage.directory, "plain.txt");
    this.out = path.join(stage.directory, "out.txt");
  }

  /** Runs a job that prints the log. */
  static async prepare(stage: Stage): Promise<ReadRunner> {
    const runner = new ReadRunner(stage);
    const job = `yes ${"x".repeat(99)} | head -c ${BYTES} | tee ${runner.plain}`;
    const code = await stage.agent("read", ["sh", "-c", job]).ended;
    if (code !== 0) throw new Error(`The job to be read ended with ${code}: expected 0`);
    runner.checksum = await checksumOf(runner.plain);
    return runner;
  }

  async pair(): Promise<Pair> {
    const { stage, out } = this;
    rmSync(out, { force: true });
    const reference = await stage.time("sh", ["-c", `cat ${this.plain} > ${out}`]);
    rmSync(out, { force: true });
    const cpu = cpuOf(stage.trackerPid);
    const start = performance.now();
    const used = await stage.into(out, ["logs", "--tracker", stage.address, "--stream", "stdout", "read"]);
    const taken = performance.now() - start;
    const tracker = cpuOf(stage.trackerPid) - cpu;
    if ((await checksumOf(out)) !== this.checksum) throw new Error("What `belay logs` printed is not what the job did");
    const perGigabyte = 1e9 / BYTES;
    return {
      reference: BYTES / 1e3 / reference,
      rate: BYTES / 1e3 / taken,
      tracker: tracker * perGigabyte,
      reader: used * perGigabyte,
    };
  }
}

async function checksumOf(file: string): Promise<number> {
  let sum = 0;
  for await (const chunk of createReadStream(file, { highWaterMark: 1 << 20 })) sum = crc32(chunk as Buffer, sum);
  return sum;
}

function rowsOf(pairs: readonly Pair[]): Row[] {
  const against = "cat log > file";
  return [
    {
      key: "read.rate",
      what: "log read back, 100-byte lines",
      unit: "MB/s",
      better: "more",
      ours: pairs.map(({ rate }) => rate),
      reference: { what: against, values: pairs.map(({ reference }) => reference) },
    },
    {
      key: "read.tracker-cpu",
      what: "tracker CPU, log read back",
      unit: "s/GB",
      better: "less",
      ours: pairs.map(({ tracker }) => tracker),
    },
    {
      key: "read.reader-cpu",
      what: "CPU of `belay logs`, its start included",
      unit: "s/GB",
      better: "less",
      ours: pairs.map(({ reader }) => reader),
    },
  ];
}

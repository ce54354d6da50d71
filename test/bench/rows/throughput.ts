import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { createReadStream, createWriteStream, rmSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import path from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { crc32 } from "node:zlib";
import { JobState, LogStream } from "../../../src/gen/belay/v1/job_pb.ts";
import type { Bench } from "../bench.ts";
import { childrenCpu, cpuOf, memoryOf } from "../processes.ts";
import { rounds } from "../plan.ts";
import type { Row } from "../row.ts";
import type { Stage } from "../stage.ts";

/** Bytes of output of one run. */
const BYTES = 400_000_000;
const RUNS = 5;
/** Time until an agent is idle after its start. Milliseconds. */
const SETTLE_MS = 200;

/** A job that prints: its name, and its output. */
export interface Load {
  readonly name: string;
  readonly what: string;
  readonly lineBytes: number;
  readonly bytes: number;
  /** Whether the job makes each line. If not, it copies lines from the page cache, which is the fastest job. */
  readonly generates: boolean;
}

const LOADS: readonly Load[] = [
  { name: "lines", what: "100-byte lines", lineBytes: 100, bytes: BYTES, generates: false },
  { name: "short", what: "10-byte lines", lineBytes: 10, bytes: BYTES / 2, generates: false },
  { name: "long", what: "1 MB lines", lineBytes: 1_000_000, bytes: BYTES / 2, generates: false },
  { name: "job", what: "a job that makes 100-byte lines", lineBytes: 100, bytes: BYTES / 4, generates: true },
];

/** Log throughput: from the job's start to everything committed at the tracker, checked byte for byte. */
export const throughputs: readonly Bench[] = LOADS.map((load) => ({
  name: `throughput-${load.name}`,
  about: `log throughput of ${load.what}, committed, against \`job | cat > file\`; agent's CPU and memory meanwhile`,
  async run(stage, plan): Promise<Row[]> {
    const runner = await LoadRunner.prepare(stage, load);
    const pairs: Pair[] = [];
    await rounds(plan, RUNS, async (index) => void pairs.push(await runner.pair(index)));
    return rowsOf(load, pairs);
  },
}));

/** One run of the reference and one of Belay. */
export interface Pair {
  readonly reference: Pace;
  readonly ours: Pace & { readonly peak: number };
}

interface Pace {
  /** MB a second. */
  readonly rate: number;
  /** Processor seconds a GB, of the agent or of the reference's `cat`, without the job's. */
  readonly cpu: number;
}

/** Runs one load repeatedly. */
export class LoadRunner {
  private readonly stage: Stage;
  private readonly load: Load;
  private readonly job: string;
  private readonly out: string;
  private checksum: number | undefined;

  private constructor(stage: Stage, load: Load) {
    this.stage = stage;
    this.load = load;
    this.out = path.join(stage.directory, "out.txt");
    const lines = path.join(stage.directory, "lines.txt");
    this.job = load.generates ? generator(load.bytes / load.lineBytes) : `cat ${lines}`;
  }

  /** Writes the lines that the job will copy. */
  static async prepare(stage: Stage, load: Load): Promise<LoadRunner> {
    const runner = new LoadRunner(stage, load);
    if (load.generates) return runner;
    const file = createWriteStream(path.join(stage.directory, "lines.txt"));
    const block = Buffer.alloc(Math.max(1_000_000, load.lineBytes), `${"x".repeat(load.lineBytes - 1)}\n`);
    for (let written = 0; written < load.bytes; written += block.byteLength) {
      if (!file.write(block)) await once(file, "drain");
    }
    file.end();
    await once(file, "close");
    return runner;
  }

  /** Runs the reference, then Belay. */
  async pair(index: number): Promise<Pair> {
    const reference = await this.reference();
    return { reference, ours: await this.ours(`throughput-${index}`, index === 0) };
  }

  private async reference(): Promise<Pace> {
    rmSync(this.out, { force: true });
    const start = performance.now();
    const shell = this.stage.start("bash", ["-c", `${this.job} | { cat > ${this.out}; times; }`], "stdout");
    let times = "";
    for await (const chunk of shell.child.stdout ?? []) times += String(chunk);
    const seconds = (performance.now() - start) / 1000;
    if ((await shell.ended) !== 0) throw new Error(`The job "${this.job}" failed`);
    this.checksum ??= await checksumOf(createReadStream(this.out, { highWaterMark: 1 << 20 }));
    return { rate: this.load.bytes / 1e6 / seconds, cpu: (childrenCpu(times) / this.load.bytes) * 1e9 };
  }

  private async ours(jobId: string, isFirst: boolean): Promise<Pair["ours"]> {
    const { stage } = this;
    const { bytes } = this.load;
    const go = path.join(stage.directory, `${jobId}.go`);
    execFileSync("mkfifo", [go]);
    // The job waits for a line, so that the agent's start does not count, and does not end after its last line, so that
    // the agent can still be measured.
    const agent = stage.agent(jobId, ["sh", "-c", `read _ < ${go}; ${this.job}; exec sleep 1000`]);
    await stage.until(jobId, JobState.RUNNING);
    await wait(SETTLE_MS);
    const cpu = cpuOf(agent.pid);
    await writeFile(go, "\n");
    const start = performance.now();
    const stored = await stage.committed(jobId, BigInt(bytes));
    const seconds = (performance.now() - start) / 1000;
    const used = cpuOf(agent.pid) - cpu;
    const peak = memoryOf(agent.pid, "VmHWM") / 1e6;
    // The first run checks the bytes that a reader gets, which takes as long as a run. Later runs compare the tracker's
    // checksum.
    const read = isFirst ? await checksumOf(this.log(jobId)) : stored.crc32;
    if (stored.crc32 !== this.checksum || read !== this.checksum || Number(stored.bytes) !== bytes) {
      throw new Error(`The log of "${jobId}" is not what the job printed`);
    }
    await stage.clear(jobId, agent);
    return { rate: bytes / 1e6 / seconds, cpu: (used / bytes) * 1e9, peak };
  }

  private async *log(jobId: string): AsyncGenerator<Uint8Array> {
    for await (const { chunks } of this.stage.client.readLogs({ jobId, streams: [LogStream.STDOUT] })) {
      for (const { content } of chunks) if (content.case === "data") yield content.value;
    }
  }
}

/** A shell command that makes lines of 100 bytes with different numbers, like those of a training job. */
function generator(lines: number): string {
  const text = "%010d INFO step loss=%.6f lr=0.000300 tokens/s=%06d grad=%.5f";
  const values = "$n, 1 / $n, $n % 999983, 0.5";
  return `perl -e 'for my $n (1..${lines}) { printf "%-99s\\n", sprintf("${text}", ${values}) }'`;
}

async function checksumOf(chunks: AsyncIterable<Uint8Array>): Promise<number> {
  let sum = 0;
  for await (const chunk of chunks) sum = crc32(chunk, sum);
  return sum;
}

function rowsOf(load: Load, pairs: readonly Pair[]): Row[] {
  const key = `throughput-${load.name}`;
  const all = (of: (pair: Pair) => number): number[] => pairs.map(of);
  const millions = 1 / load.lineBytes;
  const against = "job | cat > file";
  const rates: Row = {
    key: `${key}.rate`,
    what: `log throughput, ${load.what}, committed`,
    unit: "MB/s",
    better: "more",
    ours: all(({ ours }) => ours.rate),
    reference: { what: against, values: all(({ reference }) => reference.rate) },
    reach: { ratio: 0.8 },
  };
  const lines: Row = {
    key: `${key}.lines`,
    what: "the same in lines",
    unit: "million lines/s",
    better: "more",
    ours: rates.ours.map((rate) => rate * millions),
    reference: { what: against, values: all(({ reference }) => reference.rate * millions) },
    ...(load.lineBytes === 100 && !load.generates ? { reach: { value: 1.5 } } : {}),
  };
  return [
    rates,
    ...(load.lineBytes <= 100 ? [lines] : []),
    {
      key: `${key}.cpu`,
      what: `agent CPU, ${load.what}`,
      unit: "s/GB",
      better: "less",
      ours: all(({ ours }) => ours.cpu),
      reference: { what: "cat > file", values: all(({ reference }) => reference.cpu) },
      reach: { value: 3 },
    },
    {
      key: `${key}.peak`,
      what: `agent peak RSS, ${load.what}`,
      unit: "MB",
      better: "less",
      ours: all(({ ours }) => ours.peak),
      reach: { value: 128 },
    },
  ];
}

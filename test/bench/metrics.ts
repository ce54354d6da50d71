// The cost of a long job's metrics: storing them, their size on disk, reading them. One attempt with a sample each 5 s
// and, each second, a record with ten of the job's own metrics.
//
//   npx node test/bench/metrics.ts [days]
import { create, toBinary } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLogger } from "../../src/base/logger.ts";
import { AttemptSchema, JobSchema, JobState } from "../../src/gen/belay/v1/job_pb.ts";
import { JobService } from "../../src/gen/belay/v1/job_service_pb.ts";
import type { Event } from "../../src/gen/belay/v1/tracker_service_pb.ts";
import { EventSchema } from "../../src/gen/belay/v1/tracker_service_pb.ts";
import { startTracker } from "../../src/tracker/server.ts";
import { openStore } from "../../src/tracker/store/open-store.ts";

const DAYS = Number(process.argv[2] ?? 7);
const SECONDS = DAYS * 86_400;
const START = 1_700_000_000n * 1_000_000_000n;
/** Events of one transaction: as many as arrive in one turn of a busy tracker's event loop. */
const TURN = 50;
const NAMES = ["loss", "accuracy", "lr", "grad_norm", "tokens/s", "val/loss", "val/acc", "epoch", "mem", "queue"];

const directory = mkdtempSync(join(tmpdir(), "belay-bench-"));
try {
  await store();
  await read();
} finally {
  rmSync(directory, { recursive: true, force: true });
}

async function store(): Promise<void> {
  const opened = openStore(directory, silentLogger, { durability: "process", logLimit: 0 });
  const job = create(JobSchema, { jobId: "week", state: JobState.SUCCEEDED, spec: { command: ["true"] } });
  await opened.commit({
    key: 1,
    job: { job, resumeState: JobState.RUNNING, open: false, spec: true },
    attempt: { attempt: create(AttemptSchema, { attempt: 1 }), events: 0 },
  });
  let sequence = 0n;
  let raw = 0;
  let slowest = 0;
  let turn: Promise<void>[] = [];
  const begin = process.cpuUsage();
  for (let second = 0; second < SECONDS; second++) {
    const events = [ownMetrics(++sequence, second), ...(second % 5 === 0 ? [usage(++sequence, second)] : [])];
    for (const event of events) {
      if (second % 60 === 0) raw += 60 * toBinary(EventSchema, event).length;
      turn.push(opened.commit({ key: 1, event: { attempt: 1, event } }));
    }
    if (turn.length < TURN) continue;
    const start = performance.now();
    await Promise.all(turn);
    slowest = Math.max(slowest, performance.now() - start);
    turn = [];
  }
  await Promise.all(turn);
  const cpu = process.cpuUsage(begin);
  const seconds = (cpu.user + cpu.system) / 1e6;
  await opened.close();
  line("events", sequence.toLocaleString("en"));
  line("their bytes, encoded", `${(raw / 2 ** 20).toFixed(0)} MiB (about)`);
  line("processor to make and store one", `${((seconds * 1e6) / Number(sequence)).toFixed(1)} µs`);
  line(`slowest turn of ${TURN} events`, `${slowest.toFixed(1)} ms`);
  line("database", `${(statSync(join(directory, "belay.db")).size / 2 ** 20).toFixed(2)} MiB`);
}

async function read(): Promise<void> {
  const tracker = await startTracker({ listen: "127.0.0.1:0", dataDirectory: directory });
  const jobs = createClient(JobService, createGrpcTransport({ baseUrl: tracker.address }));
  for (const maxSamples of [0, 500]) {
    // The first of two reads warms up.
    for (const shown of [false, true]) {
      const start = performance.now();
      let samples = 0;
      let records = 0;
      let values = 0;
      for await (const answer of jobs.readMetrics({ jobId: "week", maxSamples })) {
        samples += answer.samples.length;
        records += answer.jobMetrics.length;
        for (const { metrics } of answer.jobMetrics) values += metrics.length;
      }
      const took = (performance.now() - start).toFixed(0);
      const what = `${samples} samples and ${records} records with ${values} values`;
      if (shown) line(`read ${maxSamples === 0 ? "all" : `with max_samples ${maxSamples}`}`, `${took} ms: ${what}`);
    }
  }
  await tracker.close();
}

function usage(sequence: bigint, second: number): Event {
  const value = {
    sampleUnixNano: START + BigInt(second) * 1_000_000_000n,
    step: 1,
    cpuCores: 1.5 + Math.sin(second),
    cpuSeconds: second * 1.5,
    cpuLimitCores: 4,
    memoryBytes: BigInt(Math.floor(3e9 + 1e9 * Math.sin(second / 1000))),
    memoryLimitBytes: 8_000_000_000n,
    processes: 12,
    threads: 80,
    openFiles: 300,
    diskReadBytes: BigInt(second * 1_000_000),
    diskWrittenBytes: BigInt(second * 100_000),
    networkReceivedBytes: BigInt(second * 10_000),
    networkSentBytes: BigInt(second * 10_000),
    cpuPressure: 0.1,
    memoryPressure: 0,
    ioPressure: 0.2,
    exact: true,
  };
  return create(EventSchema, { sequence, kind: { case: "metricSample", value } });
}

function ownMetrics(sequence: bigint, second: number): Event {
  const metrics = NAMES.map((name, i) => ({
    name,
    value: Math.sin(second * (i + 1)) + 1000 / (second + 1),
    step: second,
  }));
  const value = { readUnixNano: START + BigInt(second) * 1_000_000_000n, metrics };
  return create(EventSchema, { sequence, kind: { case: "jobMetrics", value } });
}

function line(what: string, figure: string): void {
  console.log(`${what.padEnd(36)} ${figure}`);
}

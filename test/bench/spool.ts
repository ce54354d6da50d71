// Throughput of a spool: the cost of appending job output in memory and on disk.
//
//   npx node test/bench/spool.ts [directory on the disk to be measured]
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { openSpool } from "../../src/agent/report/disk/open.ts";
import { SlabPool } from "../../src/agent/report/frame.ts";
import { LogLane } from "../../src/agent/report/log-lane.ts";
import { MemorySpool } from "../../src/agent/report/memory-spool.ts";
import { systemClock } from "../../src/base/clock.ts";
import { AgentInfoSchema, LogStream } from "../../src/gen/belay/v1/job_pb.ts";

/** Number of records that the tracker has not confirmed yet. */
const LAG = 64;

interface Load {
  readonly what: string;
  /** Size of an append, in bytes. */
  readonly size: number;
  readonly total: number;
  /** Whether every append is its own batch. */
  readonly single: boolean;
}

const LOADS: readonly Load[] = [
  { what: "64 KiB reads", size: 65_536, total: 2e9, single: false },
  { what: "100-byte reads", size: 100, total: 2e8, single: false },
  { what: "100-byte batches", size: 100, total: 2e7, single: true },
];

async function measure(where: "memory" | "disk", { what, size, total, single }: Load): Promise<void> {
  const directory = mkdtempSync(join(process.argv[2] ?? tmpdir(), "belay-bench-"));
  const pool = new SlabPool();
  const identity = { sessionId: "s", jobId: "j", agent: create(AgentInfoSchema) };
  const spool =
    where === "memory"
      ? new MemorySpool(pool)
      : openSpool({ directory, identity, pool, limit: 1e9, onTrouble: (message) => console.error(message) });
  const lane = new LogLane(spool, pool, systemClock);
  const data = Buffer.alloc(size, "a line of output\n");
  const cpu = process.cpuUsage();
  const start = performance.now();
  for (let done = 0; done < total; done += size) {
    lane.append(LogStream.STDOUT, 1, data, 1n);
    if (single) lane.flush();
    const last = spool.nextSequence("logs") - 1;
    if (last - spool.committed("logs") >= LAG + 16) spool.ack("logs", last - LAG);
  }
  const ms = performance.now() - start;
  const { user, system } = process.cpuUsage(cpu);
  lane.flush();
  spool.ack("logs", spool.nextSequence("logs") - 1);
  await spool.close();
  rmSync(directory, { recursive: true, force: true });
  const rate = `${(total / ms / 1000).toFixed(0)} MB/s, ${((total / size / ms) * 1000).toFixed(0)} appends/s`;
  console.log(`${where.padEnd(6)}  ${what.padEnd(16)}  ${rate}, ${((user + system) / 1e6).toFixed(2)} s of CPU`);
}

for (const load of LOADS) {
  for (const where of ["memory", "disk", "memory", "disk"] as const) await measure(where, load);
}

import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, onTestFinished, test, type TestContext } from "vitest";
import type { SlabPool } from "../../../../src/agent/report/frame.ts";
import type { LaneSpool } from "../../../../src/agent/report/lane-spool.ts";
import { LogLane } from "../../../../src/agent/report/log-lane.ts";
import { LogStream } from "../../../../src/gen/belay/v1/job_pb.ts";
import { GapReason } from "../../../../src/gen/belay/v1/tracker_service_pb.ts";
import { ManualClock } from "../../../helpers/manual-clock.ts";
import { diskSpool, ModelTracker, opened, temporaryDirectory } from "../model.ts";

const MiB = 1 << 20;

/** A file system of its own, of some size. */
function smallFileSystem({ skip }: TestContext, options: string): string {
  const directory = join(temporaryDirectory(), "mount");
  mkdirSync(directory);
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", options, "tmpfs", directory], { stdio: "ignore" });
  } catch {
    skip("only root can mount a file system");
  }
  onTestFinished(() => void execFileSync("umount", ["-l", directory]));
  return directory;
}

/** Prints until the spool is full or so many bytes are out. @returns what was printed */
function print(spool: LaneSpool, pool: SlabPool, most: number): { lane: LogLane; printed: Buffer } {
  const lane = new LogLane(spool, pool, new ManualClock());
  const pieces: Buffer[] = [];
  for (let bytes = 0; bytes < most; ) {
    const data = Buffer.alloc(30_000, `${pieces.length}\n`);
    pieces.push(data);
    bytes += data.length;
    if (!lane.append(LogStream.STDOUT, 1, data, 1n)) break;
  }
  lane.flush();
  return { lane, printed: Buffer.concat(pieces) };
}

async function expectAll(spool: LaneSpool, lane: LogLane, printed: Buffer): Promise<ModelTracker> {
  const tracker = new ModelTracker();
  await tracker.takeAll(spool);
  expect(tracker.bytesOf(LogStream.STDOUT).equals(printed)).toBe(true);
  expect(lane.totals()).toEqual(tracker.totals());
  return tracker;
}

describe("a disk that fills", () => {
  test("is reported once; memory is used up to its bound, and nothing is lost", async (context) => {
    const { spool, pool, troubles } = diskSpool(smallFileSystem(context, "size=2m"), { memoryLimit: 3 * MiB });
    const { lane, printed } = print(spool, pool, 100 * MiB);
    expect(printed.length).toBeGreaterThan(4 * MiB);
    expect(printed.length).toBeLessThan(6 * MiB);
    expect(spool.full).toBe(true);
    expect(troubles).toHaveLength(1);
    expect(troubles[0]).toContain("the disk is full (ENOSPC). The job goes on; output is kept in memory");
    const tracker = await expectAll(spool, lane, printed);
    spool.ack("logs", tracker.logs);
    expect(spool.full).toBe(false);
    await spool.close();
  });

  test("does not make a job wait that may lose output: the log records what is missing", async (context) => {
    const options = { memoryLimit: 3 * MiB, onFull: "drop" } as const;
    const { spool, pool } = diskSpool(smallFileSystem(context, "size=2m"), options);
    const { lane, printed } = print(spool, pool, 20 * MiB);
    expect(printed.length).toBeGreaterThanOrEqual(20 * MiB);
    expect(spool.memoryBytes).toBeLessThanOrEqual(2 * 3 * MiB);
    const tracker = new ModelTracker();
    await tracker.takeAll(spool);
    expect(tracker.gaps.length).toBeGreaterThan(0);
    expect(lane.totals()).toEqual(tracker.totals());
    await spool.close();
  });

  test("keeps what was written for the process that delivers it after the agent's death", async (context) => {
    const mount = smallFileSystem(context, "size=2m");
    const { spool, pool, path } = diskSpool(mount, { memoryLimit: 3 * MiB });
    const { printed } = print(spool, pool, 100 * MiB);
    const copy = join(temporaryDirectory(), "copy");
    cpSync(path, copy, { recursive: true });
    const recovered = await opened(copy);
    const tracker = new ModelTracker();
    await tracker.takeAll(recovered.spool);
    const stored = tracker.bytesOf(LogStream.STDOUT);
    expect(stored.length).toBeGreaterThan(MiB);
    expect(printed.subarray(0, stored.length).equals(stored)).toBe(true);
    await recovered.spool.close();
    await spool.close();
  });
});

describe("a spool directory that cannot be used", () => {
  const cases: readonly (readonly [string, (context: TestContext) => string, string])[] = [
    [
      "since it is read-only",
      (context) => {
        const directory = smallFileSystem(context, "size=2m");
        execFileSync("mount", ["-o", "remount,ro", directory]);
        return directory;
      },
      "the file system is read-only (EROFS)",
    ],
    [
      "since it is a file",
      () => {
        const file = join(temporaryDirectory(), "file");
        writeFileSync(file, "");
        return file;
      },
      "it is not a directory",
    ],
  ];
  test.for(cases)("%s is reported once, and the job goes on with a spool in memory", async ([, make, why], context) => {
    const { spool, pool, troubles } = diskSpool(make(context));
    const { lane, printed } = print(spool, pool, 2 * MiB);
    expect(troubles).toEqual([expect.stringContaining(why)]);
    await expectAll(spool, lane, printed);
    await spool.close();
  });

  test("because it was removed while the job runs is reported once, too", async () => {
    const directory = temporaryDirectory();
    const { spool, pool, troubles } = diskSpool(directory, { limit: 200_000_000 });
    rmSync(directory, { recursive: true });
    const { lane, printed } = print(spool, pool, 2 * MiB);
    expect(troubles).toEqual([expect.stringContaining("(ENOENT)")]);
    await expectAll(spool, lane, printed);
    await spool.close();
  });
});

describe("a segment that is damaged", () => {
  function damage(path: string, name: string, at: number): void {
    const file = join(path, name);
    const bytes = readFileSync(file);
    bytes.writeUInt8(bytes.readUInt8(at) ^ 0xff, at);
    writeFileSync(file, bytes);
  }

  test("while the agent runs: what cannot be read back is a gap, and what comes after it is delivered", async () => {
    const { spool, pool, path, troubles } = diskSpool(temporaryDirectory(), { limit: 8 * MiB, memoryLimit: 0 });
    const { lane, printed } = print(spool, pool, 4 * MiB);
    const segments = readdirSync(path).filter((name) => name.startsWith("logs"));
    expect(segments.length).toBeGreaterThan(3);
    damage(path, segments[1] as string, 500_000);
    const tracker = new ModelTracker();
    await tracker.takeAll(spool);
    expect(tracker.gaps).toMatchObject([{ stream: LogStream.STDOUT, reason: GapReason.SPOOL_DAMAGED }]);
    const [gap] = tracker.gaps;
    const offset = gap?.offset ?? 0;
    const rest = Buffer.concat([printed.subarray(0, offset), printed.subarray(offset + (gap?.bytes ?? 0))]);
    expect(tracker.bytesOf(LogStream.STDOUT).equals(rest)).toBe(true);
    expect(lane.totals()).toEqual(tracker.totals());
    expect(troubles).toEqual([expect.stringContaining("Output is lost")]);
    await spool.close();
  });

  test("after the agent died: the same", async () => {
    const directory = temporaryDirectory();
    const { spool, pool, path } = diskSpool(directory, { limit: 8 * MiB });
    const { printed } = print(spool, pool, 4 * MiB);
    const copy = join(directory, "copy");
    cpSync(path, copy, { recursive: true });
    const segments = readdirSync(copy).filter((name) => name.startsWith("logs"));
    damage(copy, segments[1] as string, 500_000);
    const recovered = await opened(copy);
    const tracker = new ModelTracker();
    await tracker.takeAll(recovered.spool);
    expect(tracker.gaps).toMatchObject([{ reason: GapReason.SPOOL_DAMAGED }]);
    const [gap] = tracker.gaps;
    const offset = gap?.offset ?? 0;
    const rest = Buffer.concat([printed.subarray(0, offset), printed.subarray(offset + (gap?.bytes ?? 0))]);
    expect(tracker.bytesOf(LogStream.STDOUT).equals(rest)).toBe(true);
    expect(recovered.streams).toEqual(tracker.totals());
    await recovered.spool.close();
    await spool.close();
  });
});

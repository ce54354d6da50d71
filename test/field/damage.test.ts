import { copyFile, readdir, readFile, rm, stat, symlink, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it, test } from "vitest";
import { LogCompleteness, LogStream } from "../../src/gen/belay/v1/job_pb.ts";
import type { LogChunk } from "../../src/gen/belay/v1/tracker_service_pb.ts";
import { GapReason } from "../../src/gen/belay/v1/tracker_service_pb.ts";
import { checkDirectory } from "../../src/tracker/store/check/check.ts";
import { ScriptedAgent } from "../../src/testing/index.ts";
import { belayEnds } from "../helpers/cli.ts";
import type { TestTracker } from "../helpers/tracker.ts";
import { someSpec, testDirectory, testTracker } from "../helpers/tracker.ts";

const LINES = 10;
const LINE_BYTES = 100;
const RECORD_BYTES = 32 + 40 + LINE_BYTES;
/** Connect's code. */
const DATA_LOSS = { code: 15 };
const STORE = (message: RegExp) => ({ code: "STORE", message: expect.stringMatching(message) as unknown });

const line = (number: number): string => `${String(number).repeat(LINE_BYTES - 1)}\n`;
/** Offset of the record of a line; lines are counted from 0. */
const recordOf = (number: number): number => 16 + number * RECORD_BYTES;

/** A tracker with one job that has ended. Its log has ten lines, each in its own record. */
async function trackerWithLog(jobId = "j"): Promise<TestTracker & { log: string }> {
  const tested = await testTracker();
  await runJob(tested, jobId);
  return { ...tested, log: join(tested.dataDirectory, "logs", "1", "1.log") };
}

async function runJob({ address }: { address: string }, jobId: string): Promise<void> {
  const agent = ScriptedAgent.connect({ url: address, jobId });
  await agent.hello({ spec: someSpec });
  for (let i = 0; i < LINES; i++) agent.print(line(i));
  await agent.acked(0n, BigInt(LINES));
  agent.result();
  await agent.next("receipt");
  agent.halfClose();
  await agent.ended;
}

type Edit = (bytes: Buffer) => Buffer;

function flip(position: number): Edit {
  return (bytes) => {
    bytes.writeUInt8(bytes.readUInt8(position) ^ 0x10, position);
    return bytes;
  };
}

async function edit(path: string, change: Edit): Promise<void> {
  await writeFile(path, change(await readFile(path)));
}

const REASONS: Partial<Record<GapReason, string>> = {
  [GapReason.UNSPECIFIED]: "UNSPECIFIED",
  [GapReason.LOG_DAMAGED]: "LOG_DAMAGED",
};

/** A log as a reader gets it: lines by their digit, and gaps by their bytes. */
async function readings(
  jobs: TestTracker["jobs"],
  request: Parameters<TestTracker["jobs"]["readLogs"]>[0],
): Promise<string[]> {
  const found: string[] = [];
  for await (const { chunks } of jobs.readLogs(request)) {
    found.push(...chunks.map(reading));
  }
  return found;
}

function reading({ content }: LogChunk): string {
  if (content.case === "gap") return `${REASONS[content.value.reason]} ${content.value.bytes}`;
  return Buffer.from(content.value ?? [])
    .toString("latin1")
    .charAt(0);
}

const gap = (lines: number): string => `LOG_DAMAGED ${lines * LINE_BYTES}`;

/** A damage: its name, a function that does it, and the log as it is read afterwards. */
type Damage = [string, (log: string) => Promise<void>, string[]];

/**
 * Damages a log and reads it in each way: at a running tracker and, after a repair, at one that is started again.
 *
 * @returns the attempt as the tracker shows it before and after, and the findings of the check
 */
async function readDamaged(
  damage: Damage[1],
  expected: string[],
): Promise<Record<"before" | "findings" | "after", unknown>> {
  const { jobs, tracker, dataDirectory, log } = await trackerWithLog();
  await damage(log);
  expect(await readings(jobs, { jobId: "j", follow: true })).toEqual(expected);
  expect(await readings(jobs, { jobId: "j", streams: [LogStream.STDOUT] })).toEqual(expected);
  // The last readable line.
  const lastLines = await readings(jobs, { jobId: "j", start: { case: "tailLines", value: 1n } });
  expect(lastLines.filter((found) => found.length === 1)).toEqual(
    expected.filter((found) => found.length === 1).slice(-1),
  );
  const middle = await readings(jobs, { jobId: "j", start: { case: "fromLine", value: 3n } });
  expect(middle.at(-1)).toBe(expected.at(-1));
  const before = (await jobs.getJob({ jobId: "j" })).job?.attempts[0];
  await tracker.close();
  const { findings } = await checkDirectory(dataDirectory, true);
  expect((await checkDirectory(dataDirectory)).findings).toEqual([]);
  const again = await testTracker({ dataDirectory });
  expect(await readings(again.jobs, { jobId: "j" })).toEqual(expected);
  return { before, findings, after: (await again.jobs.getJob({ jobId: "j" })).job?.attempts[0] };
}

describe("A log that was damaged after its job's end", () => {
  it.each<Damage>([
    ["a flipped bit in the data of a line", (log) => edit(log, flip(recordOf(4) + 90)), lines("0123", gap(1), "56789")],
    ["a flipped bit in a record's header", (log) => edit(log, flip(recordOf(4) + 5)), lines("0123", gap(1), "56789")],
    ["a flipped bit in a chunk's header", (log) => edit(log, flip(recordOf(4) + 40)), lines("0123", gap(1), "56789")],
    ["a flipped bit in the first record", (log) => edit(log, flip(recordOf(0))), lines(gap(1), "123456789")],
    ["a flipped bit in the last record", (log) => edit(log, flip(recordOf(9) + 100)), lines("012345678", gap(1))],
    [
      "two places",
      (log) => edit(log, (bytes) => flip(recordOf(2) + 50)(flip(recordOf(7) + 50)(bytes))),
      lines("01", gap(1), "3456", gap(1), "89"),
    ],
    [
      "zeros in the middle",
      (log) => edit(log, (bytes) => bytes.fill(0, recordOf(3) + 10, recordOf(6))),
      lines("012", gap(3), "6789"),
    ],
    [
      "zeros at the beginning",
      (log) => edit(log, (bytes) => bytes.fill(0, 0, recordOf(1))),
      lines(gap(1), "123456789"),
    ],
    [
      "an end that is gone, in the middle of a record",
      (log) => truncate(log, recordOf(8) + 7),
      lines("01234567", gap(2)),
    ],
    ["an end that is gone, between two records", (log) => truncate(log, recordOf(8)), lines("01234567", gap(2))],
    [
      "a piece that was cut out",
      (log) => edit(log, (bytes) => Buffer.concat([bytes.subarray(0, recordOf(5)), bytes.subarray(recordOf(6))])),
      lines("01234", gap(1), "6789"),
    ],
    [
      "a flipped bit, and no index",
      async (log) => {
        await edit(log, flip(recordOf(9) + 100));
        await rm(`${log}.index`);
      },
      lines("012345678", gap(1)),
    ],
    [
      "a flipped bit, and a damaged index",
      async (log) => {
        await edit(log, flip(recordOf(4) + 100));
        await edit(`${log}.index`, (bytes) => bytes.fill(0x55));
      },
      lines("0123", gap(1), "56789"),
    ],
  ])(
    "%s: intact records are read; after a repair, the log counts as incomplete and the check finds nothing",
    async (_, damage, expected) => {
      const { before, findings, after } = await readDamaged(damage, expected);
      const damaged = { logCompleteness: LogCompleteness.INCOMPLETE, logMessage: "the stored log is damaged" };
      expect(before).toMatchObject(damaged);
      expect(findings).toMatchObject([{ severity: "problem", where: "j, attempt 1" }]);
      const repaired = /^the stored log was damaged and repaired: stdout: \d00 of 1000 bytes/;
      expect(after).toMatchObject({ ...damaged, logMessage: expect.stringMatching(repaired) as unknown });
    },
  );

  it.each<Damage>([
    ["a flipped bit in the header", (log) => edit(log, flip(6)), lines("0123456789")],
    ["garbage behind its end", (log) => writeFile(log, "BREC and more", { flag: "a" }), lines("0123456789")],
    ["an index that is gone", (log) => rm(`${log}.index`), lines("0123456789")],
    ["an index of another log", (log) => edit(`${log}.index`, flip(172)), lines("0123456789")],
  ])("%s: all of it is read, and the log stays complete", async (_, damage, expected) => {
    const { before, after } = await readDamaged(damage, expected);
    expect(before).toMatchObject({ logCompleteness: LogCompleteness.COMPLETE });
    expect(after).toMatchObject({ logMessage: "", logCompleteness: LogCompleteness.COMPLETE });
  });

  test("is read from any position with the same gaps, each once", async () => {
    const { jobs, log } = await trackerWithLog();
    await edit(log, (bytes) => flip(recordOf(2) + 50)(flip(recordOf(7) + 50)(bytes)));
    const whole = await readings(jobs, { jobId: "j" });
    const found: string[] = [];
    let next = 0n;
    for (let i = 0; i < LINES; i++) {
      const start = { case: "fromPosition", value: next } as const;
      for await (const answer of jobs.readLogs({ jobId: "j", start, limitBytes: BigInt(LINE_BYTES) })) {
        found.push(...answer.chunks.map(reading));
        next = answer.nextPosition;
      }
    }
    expect(found).toEqual(whole);
    expect(whole).toEqual(lines("01", gap(1), "3456", gap(1), "89"));
  });

  it.each<[string, (log: string) => Promise<void>]>([
    ["was removed", (log) => rm(log)],
    ["was removed with its directory", (log) => rm(join(log, ".."), { recursive: true })],
    ["is empty", (log) => truncate(log, 0)],
    ["ends in its header", (log) => truncate(log, 9)],
    ["is all zeros", (log) => edit(log, (bytes) => bytes.fill(0))],
    ["is something else", (log) => writeFile(log, "this is something else altogether")],
    [
      "is a symbolic link to nothing",
      async (log) => {
        await rm(log);
        await symlink("/nowhere", log);
      },
    ],
    ["is the log of another job", (log) => copyFile(join(log, "..", "..", "2", "1.log"), log)],
  ])("completely, because the file %s: an error, and never the log of another job", async (_, damage) => {
    const tested = await trackerWithLog();
    const { jobs, tracker, dataDirectory, log } = tested;
    await runJob(tested, "other");
    await damage(log);
    await expect(readings(jobs, { jobId: "j" })).rejects.toMatchObject(DATA_LOSS);
    await expect(readings(jobs, { jobId: "j", follow: true })).rejects.toMatchObject(DATA_LOSS);
    expect((await jobs.getJob({ jobId: "j" })).job?.attempts[0]?.logCompleteness).toBe(LogCompleteness.INCOMPLETE);
    expect(await readings(jobs, { jobId: "other" })).toEqual(lines("0123456789"));
    await tracker.close();
    expect((await checkDirectory(dataDirectory, true)).findings).toMatchObject([{ where: "j, attempt 1" }]);
    expect((await checkDirectory(dataDirectory)).findings).toEqual([]);
    const again = await testTracker({ dataDirectory });
    expect(await readings(again.jobs, { jobId: "j" })).toEqual([gap(LINES)]);
  });

  test("is reported by the commands, counted, and noted once in the tracker's own log", async () => {
    const { jobs, address, log } = await trackerWithLog();
    await edit(log, flip(recordOf(4) + 90));
    for (let i = 0; i < 2; i++) await readings(jobs, { jobId: "j" });
    const [damaged, tail, show] = await Promise.all([
      belayEnds(["logs", "--tracker", address, "j"]),
      belayEnds(["logs", "--tracker", address, "--tail", "1", "j"]),
      belayEnds(["show", "--tracker", address, "j"]),
    ]);
    const notice = "belay: 100 B of stdout are missing here: the tracker's log is damaged\n";
    const before = [0, 1, 2, 3].map(line).join("");
    expect(damaged).toMatchObject({ code: 0, stdout: `${before}${notice}${[5, 6, 7, 8, 9].map(line).join("")}` });
    expect(tail).toMatchObject({ code: 0, stdout: line(9) });
    expect(show.stdout).toMatch(/the stored log is damaged/);
    expect(show.stdout).not.toMatch(/\bcomplete\b/);
    const metrics = await (await fetch(`${address}/metrics`)).text();
    expect(metrics).toMatch(/^belay_log_damage_total 1$/m);
    await rm(log);
    const removed = await belayEnds(["logs", "-f", "--tracker", address, "j"]);
    expect(removed).toMatchObject({ code: 125, stdout: "" });
    expect(removed.stderr).toMatch(/^belay: Cannot read the log ".*1\.log": it is missing; .*check --repair.*\n$/);
  });
});

describe("A log that is damaged while its job runs and the tracker is down", () => {
  it.each<[string, (log: string) => Promise<void>, string[]]>([
    ["in the middle", (log) => edit(log, flip(recordOf(4) + 90)), lines("0123", gap(1), "56789")],
    ["in its header", (log) => edit(log, flip(6)), lines("0123456789")],
    ["by zeros", (log) => edit(log, (bytes) => bytes.fill(0)), lines("UNSPECIFIED 1000")],
    ["by its removal", (log) => rm(log), lines("UNSPECIFIED 1000")],
    [
      "by the log of another job",
      (log) => copyFile(join(log, "..", "..", "2", "1.log"), log),
      lines("UNSPECIFIED 1000"),
    ],
  ])("%s goes on with a gap", async (_, damage, expected) => {
    const first = await testTracker();
    const { dataDirectory } = first;
    const agent = ScriptedAgent.connect({ url: first.address, jobId: "j" });
    await agent.hello({ spec: someSpec });
    for (let i = 0; i < LINES; i++) agent.print(line(i));
    await agent.acked(0n, BigInt(LINES));
    await runJob(first, "other");
    await first.tracker.close();
    await damage(join(dataDirectory, "logs", "1", "1.log"));
    const { address, jobs } = await testTracker({ dataDirectory });
    const back = ScriptedAgent.connect({ url: address, jobId: "j", sessionId: agent.sessionId }).follow(agent);
    await back.hello({ attempt: 1, lowestLogSequence: BigInt(LINES + 1) });
    back.print("last\n");
    back.result();
    await back.next("receipt");
    expect(await readings(jobs, { jobId: "j" })).toEqual([...expected, "l"]);
    expect(await readings(jobs, { jobId: "other" })).toEqual(lines("0123456789"));
  });
});

test("A log that is removed while its job runs is not reported as complete, neither to the agent nor to users", async () => {
  const { address, jobs, dataDirectory } = await testTracker();
  const agent = ScriptedAgent.connect({ url: address, jobId: "j" });
  await agent.hello({ spec: someSpec });
  agent.print(line(0));
  await agent.acked(0n, 1n);
  await rm(join(dataDirectory, "logs", "1"), { recursive: true });
  agent.print(line(1));
  await agent.acked(0n, 2n);
  agent.result();
  const receipt = await agent.next("receipt");
  const lost = { logCompleteness: LogCompleteness.INCOMPLETE };
  expect(receipt).toMatchObject({ ...lost, message: "the stored log is missing" });
  agent.halfClose();
  await agent.ended;
  expect((await jobs.getJob({ jobId: "j" })).job?.attempts[0]).toMatchObject(lost);
  await expect(readings(jobs, { jobId: "j" })).rejects.toMatchObject(DATA_LOSS);
});

describe("A data directory that was changed from outside", () => {
  const part = (name: string) => (data: string) => rm(join(data, name), { recursive: true });

  /** Damages a directory with one job's log: a tracker must reject it, and serve it after a repair. */
  async function refusedUntilRepair(damage: (data: string) => Promise<void>, message: RegExp) {
    const { tracker, dataDirectory, log } = await trackerWithLog();
    await tracker.close();
    const kept = await readFile(log);
    await damage(dataDirectory);
    const refused = testTracker({ dataDirectory });
    await expect(refused).rejects.toMatchObject(STORE(message));
    await expect(refused).rejects.toMatchObject(STORE(/--data|check --repair/));
    const { findings } = await checkDirectory(dataDirectory, true);
    expect(findings).toMatchObject([{ severity: "problem", repaired: expect.any(String) as unknown }]);
    expect((await checkDirectory(dataDirectory)).findings).toEqual([]);
    const again = await testTracker({ dataDirectory });
    await runJob(again, "new");
    expect(await readings(again.jobs, { jobId: "new" })).toEqual(lines("0123456789"));
    return { dataDirectory, kept, again };
  }

  it.each<[string, (data: string) => Promise<void>, RegExp]>([
    ["without its database", part("belay.db"), /belay\.db is missing, but there are logs of 1 job: restore it/],
    ["with an empty database", (data) => truncate(join(data, "belay.db"), 0), /belay\.db is empty/],
    ["with half of a database", async (data) => truncate(join(data, "belay.db"), 8192), /is damaged \(.*malformed.*\)/],
    [
      "with a database of zeros",
      (data) => edit(join(data, "belay.db"), (bytes) => bytes.fill(0)),
      /is damaged \(.*not a database/,
    ],
    [
      "with something else as its database",
      (data) => writeFile(join(data, "belay.db"), "x".repeat(5000)),
      /is damaged/,
    ],
    [
      "with the database of another tracker",
      async (data) => {
        const other = await trackerWithLog("foreign");
        await other.tracker.close();
        await copyFile(join(other.dataDirectory, "belay.db"), join(data, "belay.db"));
      },
      /belay\.db belongs to other logs/,
    ],
  ])("%s is rejected with one sentence until a repair, which sets the logs aside", async (_, damage, message) => {
    const { dataDirectory, kept } = await refusedUntilRepair(damage, message);
    const aside = (await readdir(dataDirectory)).filter((name) => name.startsWith("set-aside"));
    expect(await readFile(join(dataDirectory, ...aside, "logs", "1", "1.log"))).toEqual(kept);
  });

  it("without its logs is rejected with one sentence until a repair, which replaces them by gaps", async () => {
    const message = /the logs of 1 job are missing: restore or mount the directory "logs"/;
    const { again } = await refusedUntilRepair(part("logs"), message);
    expect(await readings(again.jobs, { jobId: "j" })).toEqual(lines(gap(LINES)));
  });

  it.each<[string, (path: string) => Promise<void>, RegExp]>([
    ["a file", (path) => writeFile(path, "x"), /it is not a directory/],
    [
      "a symbolic link to nothing",
      (path) => symlink("/nowhere/data", path),
      /it is a symbolic link to "\/nowhere\/data", which/,
    ],
  ])("is rejected if %s is in its place", async (_, put, message) => {
    const path = join(await testDirectory(), "data");
    await put(path);
    await expect(testTracker({ dataDirectory: path })).rejects.toMatchObject(STORE(message));
  });

  it.each<[string, (data: string, backup: string) => Promise<void>]>([
    ["was set back to an older copy", (data, backup) => copyFile(backup, join(data, "belay.db"))],
    ["lost its newest job by hand", (data) => deleteNewest(data)],
  ])("whose database %s: a new job never continues the log of a job that is unknown now", async (_, damage) => {
    const first = await trackerWithLog("old");
    const { dataDirectory } = first;
    await first.tracker.close();
    const backup = join(await testDirectory(), "belay.db");
    await copyFile(join(dataDirectory, "belay.db"), backup);
    const second = await testTracker({ dataDirectory });
    await runJob(second, "unknown");
    await second.tracker.close();
    await damage(dataDirectory, backup);
    const third = await testTracker({ dataDirectory });
    await runJob(third, "new");
    expect(await readings(third.jobs, { jobId: "new" })).toEqual(lines("0123456789"));
    expect(await readings(third.jobs, { jobId: "old" })).toEqual(lines("0123456789"));
    await third.tracker.close();
    const unknown = join(dataDirectory, "logs", "2");
    expect((await stat(unknown)).isDirectory()).toBe(true);
    expect((await checkDirectory(dataDirectory)).findings).toMatchObject([{ severity: "note", where: unknown }]);
  });

  test("without files that SQLite makes again, and without its lock, is served as before", async () => {
    const { tracker, dataDirectory } = await trackerWithLog();
    await tracker.close();
    for (const name of ["belay.db-shm", "lock"]) await rm(join(dataDirectory, name), { force: true });
    const { jobs } = await testTracker({ dataDirectory });
    expect(await readings(jobs, { jobId: "j" })).toEqual(lines("0123456789"));
  });
});

async function deleteNewest(data: string): Promise<void> {
  const { DatabaseSync } = await import("node:sqlite");
  using database = new DatabaseSync(join(data, "belay.db"));
  database.exec("PRAGMA foreign_keys = ON; DELETE FROM jobs WHERE key = (SELECT max(key) FROM jobs)");
}

/** Expected parts of a log: each digit stands for a line. */
function lines(...parts: string[]): string[] {
  return parts.flatMap((part) => (/^\d+$/.test(part) ? part.split("") : [part]));
}

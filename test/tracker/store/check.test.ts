import { mkdir, open, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { DatabaseSync } from "node:sqlite";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { LogStream } from "../../../src/gen/belay/v1/job_pb.ts";
import type { LogChunk } from "../../../src/gen/belay/v1/tracker_service_pb.ts";
import { checkDirectory } from "../../../src/tracker/store/check/check.ts";
import { ScriptedAgent, readLog } from "../../../src/testing/index.ts";
import { someSpec, testDirectory, testTracker } from "../../helpers/tracker.ts";

const LINE = 100;

/** A data directory with one ended job, whose log has ten records of 100 bytes. */
async function directoryWithLog(): Promise<{ directory: string; log: string }> {
  const { tracker, address, dataDirectory } = await testTracker();
  const agent = ScriptedAgent.connect({ url: address, jobId: "j" });
  await agent.hello({ spec: someSpec });
  for (let i = 0; i < 10; i++) agent.print(`${String(i).repeat(LINE - 1)}\n`);
  await agent.acked(0n, 10n);
  agent.result();
  await agent.next("receipt");
  await tracker.close();
  return { directory: dataDirectory, log: join(dataDirectory, "logs", "1", "1.log") };
}

/** Where the record with a number begins, from 0. */
function recordAt(number: number): number {
  return 16 + number * (32 + 40 + LINE);
}

async function overwrite(path: string, position: number, bytes: Buffer): Promise<void> {
  const file = await open(path, "r+");
  await file.write(bytes, 0, bytes.length, position);
  await file.close();
}

describe("A check of a data directory", () => {
  test("finds nothing in one that is whole", async () => {
    const { directory, log } = await directoryWithLog();
    const { size } = await stat(log);
    expect(await checkDirectory(directory)).toEqual({ jobs: 1, logs: 1, bytes: size, findings: [] });
  });

  test("is refused while a tracker uses the directory, and where there is no store", async () => {
    const { dataDirectory } = await testTracker();
    await expect(checkDirectory(dataDirectory)).rejects.toMatchObject({
      code: "STORE",
      message: `Cannot use the data directory "${dataDirectory}": another tracker is using it`,
    });
    await expect(checkDirectory(await testDirectory())).rejects.toMatchObject({ code: "STORE" });
  });

  test("notes a torn end; a repair cuts it off", async () => {
    const { directory, log } = await directoryWithLog();
    const { size } = await stat(log);
    await writeFile(log, Buffer.from("BREC and then the power went"), { flag: "a" });
    expect((await checkDirectory(directory)).findings).toMatchObject([{ severity: "note", where: "j, attempt 1" }]);
    expect((await stat(log)).size).toBe(size + 28);
    expect((await checkDirectory(directory, true)).findings).toMatchObject([{ repaired: "cut off" }]);
    expect((await stat(log)).size).toBe(size);
    expect((await checkDirectory(directory)).findings).toEqual([]);
  });

  test("finds a flipped bit, and every byte that is missing at the end", async () => {
    const { directory, log } = await directoryWithLog();
    await truncate(log, recordAt(8));
    expect((await checkDirectory(directory)).findings).toEqual([
      {
        severity: "problem",
        where: "j, attempt 1",
        what: "the log ends 200 bytes of stdout before its recorded end",
      },
    ]);
    await overwrite(log, recordAt(3) + 80, Buffer.from("x"));
    const findings = (await checkDirectory(directory)).findings;
    const damage = `the log is damaged: bytes ${recordAt(3)} to ${recordAt(4)}`;
    expect(findings.map(({ what }) => what)).toEqual([
      `${damage}; the log ends 200 bytes of stdout before its recorded end`,
    ]);
  });

  test("with repair writes a damaged log again: all else is there, the gap shows, the damaged file is kept", async () => {
    const { directory, log } = await directoryWithLog();
    await overwrite(log, recordAt(3) + 80, Buffer.from("x"));
    await overwrite(log, recordAt(6), Buffer.from("????"));
    const before = await readFile(log);
    const { findings } = await checkDirectory(directory, true);
    expect(findings).toMatchObject([
      { severity: "problem", repaired: expect.stringMatching(/^written again/) as unknown },
    ]);
    expect(await readFile(`${log}.damaged`)).toEqual(before);
    expect((await checkDirectory(directory)).findings).toEqual([]);
    const { jobs } = await testTracker({ dataDirectory: directory });
    const chunks: LogChunk[] = [];
    for await (const answer of jobs.readLogs({ jobId: "j", streams: [LogStream.STDOUT] }))
      chunks.push(...answer.chunks);
    const shape = chunks.map(({ content, offset }) => [Number(offset), content.case]);
    expect(shape.filter(([, kind]) => kind === "gap")).toEqual([
      [300, "gap"],
      [600, "gap"],
    ]);
    expect(await readLog(jobs, "j", { follow: false })).toBe(
      [0, 1, 2, 4, 5, 7, 8, 9].map((i) => `${String(i).repeat(LINE - 1)}\n`).join(""),
    );
  });

  test("names rows that cannot be read, and logs without a job", async () => {
    const { directory } = await directoryWithLog();
    const database = new DatabaseSync(join(directory, "belay.db"));
    database.exec("UPDATE attempts SET body = x'ffffff'; PRAGMA foreign_keys = OFF");
    database.exec("INSERT INTO events (job_key, attempt, sequence, body) VALUES (99, 1, 1, x'')");
    database.close();
    const stray = join(directory, "logs", "77");
    await mkdir(stray);
    const { findings } = await checkDirectory(directory, true);
    expect(findings).toMatchObject([
      { severity: "problem", where: "database", what: "a row of events belongs to no job" },
      { severity: "problem", where: "j", what: expect.stringMatching(/^the job cannot be read/) as unknown },
      { severity: "problem", where: "j", what: expect.stringMatching(/^attempt 1 cannot be read/) as unknown },
      { severity: "note", where: stray, repaired: `moved to ${join(directory, "logs-set-aside")}` },
    ]);
    await expect(stat(stray)).rejects.toThrow();
  });

  test("is not needed for a tracker to start on a damaged log, which it leaves as it was", async () => {
    const { directory, log } = await directoryWithLog();
    await overwrite(log, recordAt(3) + 80, Buffer.from("x"));
    // Else it says that all was well up to the end.
    await rm(`${log}.index`);
    const before = await readFile(log);
    const { jobs, tracker } = await testTracker({ dataDirectory: directory });
    expect(await readLog(jobs, "j", { follow: false })).toMatch(/^0+\n1+\n2+\n4+\n.*9+\n$/s);
    await tracker.close();
    expect(await readFile(log)).toEqual(before);
    const { findings } = await checkDirectory(directory);
    expect(findings).toMatchObject([{ what: `the log is damaged: bytes ${recordAt(3)} to ${recordAt(4)}` }]);
  });
});

import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { mkdir, writeFile } from "node:fs/promises";
import { DatabaseSync } from "node:sqlite";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { expect, test } from "vitest";
import type { MetricSample } from "../../../src/gen/belay/v1/job_pb.ts";
import {
  AttemptSchema,
  JobSchema,
  JobSpecSchema,
  JobState,
  LogCompleteness,
  LogStream,
  Outcome,
} from "../../../src/gen/belay/v1/job_pb.ts";
import { EventSchema } from "../../../src/gen/belay/v1/tracker_service_pb.ts";
import { checkDirectory } from "../../../src/tracker/store/check/check.ts";
import { AttemptLog } from "../../../src/tracker/store/log/attempt-log.ts";
import { encodeRecord } from "../../../src/tracker/store/log/format.ts";
import { logOwner } from "../../../src/tracker/store/log/owner.ts";
import { openStore } from "../../../src/tracker/store/open-store.ts";
import { silentLogger } from "../../../src/base/logger.ts";
import { ScriptedAgent, readLog } from "../../../src/testing/index.ts";
import { someSpec, testDirectory, testTracker } from "../../helpers/tracker.ts";

/** The tables of version 1, as the first tracker made them; never changed. */
const VERSION_1 = `
  CREATE TABLE jobs (key INTEGER PRIMARY KEY, job_id TEXT NOT NULL UNIQUE, version INTEGER NOT NULL,
    state INTEGER NOT NULL, open INTEGER NOT NULL, name TEXT NOT NULL, create_ms INTEGER NOT NULL,
    resume_state INTEGER NOT NULL, spec BLOB NOT NULL, body BLOB NOT NULL) STRICT;
  CREATE INDEX jobs_by_version ON jobs (version);
  CREATE INDEX jobs_open ON jobs (key) WHERE open = 1;
  CREATE TABLE labels (job_key INTEGER NOT NULL REFERENCES jobs ON DELETE CASCADE, label TEXT NOT NULL,
    value TEXT NOT NULL, PRIMARY KEY (job_key, label)) STRICT, WITHOUT ROWID;
  CREATE INDEX labels_by_value ON labels (label, value, job_key);
  CREATE TABLE attempts (job_key INTEGER NOT NULL REFERENCES jobs ON DELETE CASCADE, attempt INTEGER NOT NULL,
    session_id TEXT NOT NULL, events INTEGER NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (job_key, attempt)) STRICT, WITHOUT ROWID;
  CREATE TABLE commands (job_key INTEGER NOT NULL REFERENCES jobs ON DELETE CASCADE, command_id TEXT NOT NULL,
    number INTEGER NOT NULL, record BLOB NOT NULL, command BLOB NOT NULL, PRIMARY KEY (job_key, command_id)) STRICT;
  CREATE TABLE events (job_key INTEGER NOT NULL REFERENCES jobs ON DELETE CASCADE, attempt INTEGER NOT NULL,
    sequence INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY (job_key, attempt, sequence)) STRICT, WITHOUT ROWID;
  CREATE TABLE metrics (job_key INTEGER NOT NULL REFERENCES jobs ON DELETE CASCADE, attempt INTEGER NOT NULL,
    sequence INTEGER NOT NULL, time_nano INTEGER NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (job_key, attempt, sequence)) STRICT, WITHOUT ROWID;
  CREATE TABLE deletions (version INTEGER PRIMARY KEY, job_id TEXT NOT NULL) STRICT;
  PRAGMA user_version = 1`;

const END_MS = 1_700_000_000_000;

/** What a tracker of version 1 left: job "old" has ended, job "runs" runs. */
async function directoryOfVersion1(): Promise<string> {
  const directory = await testDirectory();
  const database = new DatabaseSync(join(directory, "belay.db"));
  database.exec(`PRAGMA journal_mode = WAL; ${VERSION_1}`);
  const job = database.prepare("INSERT INTO jobs VALUES (?, ?, ?, ?, ?, 'n', ?, 2, ?, ?)");
  const attempt = database.prepare("INSERT INTO attempts VALUES (?, 1, ?, 3, ?)");
  const spec = toBinary(JobSpecSchema, create(JobSpecSchema, someSpec));
  const old = {
    jobId: "old",
    state: JobState.SUCCEEDED,
    version: 7n,
    createTime: timestampFromMs(END_MS - 1000),
    endTime: timestampFromMs(END_MS),
    result: { outcome: Outcome.SUCCEEDED },
  };
  const stored = [{ stream: LogStream.STDOUT, bytes: 0n, droppedBytes: 0n }];
  const complete = LogCompleteness.COMPLETE;
  job.run(1, "old", 7, JobState.SUCCEEDED, 0, END_MS - 1000, spec, toBinary(JobSchema, create(JobSchema, old)));
  attempt.run(
    1,
    "s1",
    toBinary(AttemptSchema, create(AttemptSchema, { attempt: 1, sessionId: "s1", stored, logCompleteness: complete })),
  );
  const runs = create(JobSchema, { jobId: "runs", state: JobState.RUNNING, version: 8n });
  job.run(2, "runs", 8, JobState.RUNNING, 1, END_MS, spec, toBinary(JobSchema, runs));
  attempt.run(2, "s2", toBinary(AttemptSchema, create(AttemptSchema, { attempt: 1, sessionId: "s2" })));
  database.close();
  return directory;
}

test("A data directory of version 1 is converted: its jobs are there, a running one goes on, and old ones can be told apart", async () => {
  const directory = await directoryOfVersion1();
  const { address, jobs, tracker } = await testTracker({ dataDirectory: directory });
  expect((await jobs.listJobs({})).jobs.map(({ jobId, state }) => [jobId, state])).toEqual([
    ["runs", JobState.RUNNING],
    ["old", JobState.SUCCEEDED],
  ]);
  const agent = ScriptedAgent.connect({ url: address, jobId: "runs", sessionId: "s2" });
  expect((await agent.hello()).committed?.events).toBe(3n);
  await tracker.close();
  expect((await checkDirectory(directory)).findings).toEqual([]);
  const store = openStore(directory, silentLogger, { durability: "process", logLimit: 0 });
  expect(await store.endedJobs(10)).toEqual([{ key: 1, jobId: "old", endTime: END_MS, bytes: 0 }]);
  await store.close();
});

/** A log of version 1, in which nothing says whose it is: lines, each a record of its own. */
function logOfVersion1(attempt: number, lines: readonly string[]): Buffer {
  const header = Buffer.alloc(16);
  header.write("BELAYLG1", "latin1");
  header.writeUInt32LE(attempt, 8);
  header.writeUInt32LE(crc32(header.subarray(0, 12)), 12);
  const pieces: Uint8Array[] = [header];
  let offset = 0;
  for (const [i, text] of lines.entries()) {
    const data = Buffer.from(text);
    const chunk = { stream: LogStream.STDOUT, step: 1, offset, readUnixNano: 1n, lines: 1, gap: undefined };
    const nobody = { id: 0n, attempt, unnamed: true };
    pieces.push(...encodeRecord(nobody, i + 1, [{ ...chunk, data, crc: crc32(data) }]));
    offset += data.length;
  }
  return Buffer.concat(pieces);
}

test("A log of version 1 is read and goes on, in a job of that time only", async () => {
  const directory = await directoryOfVersion1();
  const path = join(directory, "logs", "2", "1.log");
  await mkdir(join(path, ".."), { recursive: true });
  await writeFile(path, logOfVersion1(1, ["one\n", "two\n"]));
  const { address, jobs, tracker } = await testTracker({ dataDirectory: directory });
  expect(await readLog(jobs, "runs", { follow: false })).toBe("one\ntwo\n");
  const agent = ScriptedAgent.connect({ url: address, jobId: "runs", sessionId: "s2" });
  expect((await agent.hello()).committed?.logs).toBe(2n);
  agent.countDelivered(["one\n", "two\n"]);
  agent.print("three\n");
  agent.result();
  expect((await agent.next("receipt")).logCompleteness).toBe(LogCompleteness.COMPLETE);
  await tracker.close();
  expect((await checkDirectory(directory)).findings).toEqual([]);
  const again = await testTracker({ dataDirectory: directory });
  expect(await readLog(again.jobs, "runs", { follow: false })).toBe("one\ntwo\nthree\n");
  const since = new AttemptLog(path, logOwner({ jobId: "runs", createTime: 0 }, 1, false));
  await expect(since.open()).rejects.toMatchObject({ code: "STORE" });
});

test("A check of an older data directory explains what to do", async () => {
  await expect(checkDirectory(await directoryOfVersion1())).rejects.toMatchObject({
    code: "STORE",
    message: expect.stringMatching(/version 1, expected 5: start the tracker once/) as unknown,
  });
});

test("Metrics of version 1, every event of a long job, are merged as if they arrived now; a damaged one is left out", async () => {
  const directory = await directoryOfVersion1();
  const count = 5000;
  const database = new DatabaseSync(join(directory, "belay.db"));
  const insert = database.prepare("INSERT INTO metrics VALUES (?, 1, ?, ?, ?)");
  database.exec("BEGIN");
  for (let i = 1; i <= count; i++) {
    const value = {
      sampleUnixNano: BigInt(i) * 1_000_000_000n,
      memoryBytes: BigInt(i === 77 ? 1e9 : i),
      cpuSeconds: i,
    };
    const event = create(EventSchema, { sequence: BigInt(i), kind: { case: "metricSample", value } });
    insert.run(1, i, i * 1e9, toBinary(EventSchema, event));
  }
  insert.run(1, count + 1, 0, Buffer.from([0xff]));
  database.exec("COMMIT");
  database.close();
  const { jobs, tracker } = await testTracker({ dataDirectory: directory });
  const samples: MetricSample[] = [];
  for await (const answer of jobs.readMetrics({ jobId: "old" })) samples.push(...answer.samples);
  expect(samples.length).toBeLessThan(2 * 1088);
  expect(samples.reduce((sum, { merged }) => sum + Number(merged?.samples ?? 1), 0)).toBe(count);
  expect(samples.some(({ memoryBytes }) => memoryBytes === 1_000_000_000n)).toBe(true);
  expect(samples.at(-1)?.cpuSeconds).toBe(count);
  await tracker.close();
  expect((await checkDirectory(directory)).findings).toEqual([]);
  const store = openStore(directory, silentLogger, { durability: "process", logLimit: 0 });
  const bytes = await store.endedBytes();
  expect(bytes).toBeGreaterThan(samples.length * 20);
  await store.close();
});

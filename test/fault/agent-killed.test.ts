import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { expect, onTestFinished, test } from "vitest";
import { flushSpool } from "../../src/agent/delivery/flush.ts";
import { EndReason, JobState, LogCompleteness } from "../../src/gen/belay/v1/job_pb.ts";
import { readLog } from "../../src/testing/index.ts";
import { testDirectory, testTracker } from "../helpers/tracker.ts";

test("an agent is killed while its job floods, and a later agent delivers the rest: the log is complete", async () => {
  const { address, jobs } = await testTracker();
  const directory = await testDirectory();
  const options = { tracker: address, jobId: "j1", spoolDirectory: directory, command: ["seq", "1", "100000000"] };
  const driver = new URL("../fixtures/agent-driver.ts", import.meta.url).pathname;
  const child = spawn(process.execPath, [driver, JSON.stringify(options)], { stdio: ["ignore", "pipe", "inherit"] });
  onTestFinished(() => void child.kill("SIGKILL"));
  const pieces: Buffer[] = [];
  let read = 0;
  child.stdout.on("data", (data: Buffer) => {
    pieces.push(data);
    read += data.length;
    if (read >= 50_000_000) child.kill("SIGKILL");
  });
  await once(child, "close");
  const seen = Buffer.concat(pieces);

  const outcome = await flushSpool({ directory, tracker: address, timeout: 20_000 });

  expect(outcome).toMatchObject({ delivered: true, sessions: [{ jobId: "j1", agentLost: true, message: "" }] });
  expect(readdirSync(directory)).toEqual([]);
  const { job } = await jobs.getJob({ jobId: "j1" });
  expect(job).toMatchObject({ state: JobState.FAILED, result: { reason: EndReason.AGENT_LOST } });
  expect(job?.attempts[0]?.logCompleteness).toBe(LogCompleteness.COMPLETE);
  const stored = await readLog(jobs, "j1", { follow: false, stream: "stdout" });
  expect(stored.length).toBeGreaterThanOrEqual(seen.length);
  expect(Buffer.from(stored, "latin1").subarray(0, seen.length).equals(seen)).toBe(true);
});

import { create } from "@bufbuild/protobuf";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { runAgent } from "../../../src/agent/run.ts";
import { JobSpecSchema } from "../../../src/gen/belay/v1/job_pb.ts";
import { waitForJob } from "../../../src/testing/index.ts";
import { OtlpCollector } from "../../helpers/otlp-collector.ts";
import { jobClient, testDirectory } from "../../helpers/tracker.ts";

const program = join(import.meta.dirname, "../../helpers/tracker-process.ts");

test("A tracker that is killed while a job runs, with and without a collector, exports each of the job's spans once", {
  timeout: 60_000,
}, async () => {
  const collector = await OtlpCollector.start();
  const [data, scene] = [await testDirectory(), await testDirectory()];
  let listen = "127.0.0.1:0";
  const start = async () => {
    const child = spawn(process.execPath, [program, data, listen, collector.endpoint], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    onTestFinished(() => void child.kill("SIGKILL"));
    const [printed] = (await once(child.stdout, "data")) as [Buffer];
    const address = printed.toString().trim();
    listen = address.replace("http://", "");
    return { child, address, jobs: jobClient(address) };
  };
  const kill = async (child: ReturnType<typeof spawn>) => {
    child.kill("SIGKILL");
    await once(child, "exit");
  };
  /** A step that goes on when a file is there. */
  const waits = (name: string) => `until [ -e ${scene}/${name} ]; do sleep 0.05; done`;
  const go = (name: string) => writeFile(join(scene, name), "");

  const first = await start();
  const spec = create(JobSpecSchema, {
    name: "lives",
    setup: [
      { name: "one", run: "true" },
      { name: "two", run: waits("two") },
      { name: "three", run: waits("three") },
    ],
    command: ["sh", "-c", 'echo "$TRACEPARENT"'],
  });
  let output = "";
  const onOutput = (_: unknown, bytes: Uint8Array) => void (output += Buffer.from(bytes).toString());
  const done = runAgent({ tracker: first.address, jobId: "j1", spec, onOutput });
  // Killed while a step runs, after the one before is exported.
  await collector.span("step one");
  await waitForJob(first.jobs, "j1", ({ step }) => step === 2);
  // What the collector has taken is out of the store.
  while (!(await (await fetch(`${first.address}/metrics`)).text()).includes("\nbelay_otlp_spans_waiting 0\n"));
  await kill(first.child);
  const second = await start();
  // Killed when a step has ended of which the collector never heard.
  await collector.close();
  await go("two");
  await waitForJob(second.jobs, "j1", ({ step }) => step === 3);
  await kill(second.child);
  await collector.open();
  await start();
  await go("three");
  await done;
  const job = await collector.span("job lives");
  const attempt = await collector.span("attempt 1");
  const steps = await Promise.all(["one", "two", "three", "lives"].map((name) => collector.span(`step ${name}`)));
  expect(collector.spans).toHaveLength(6);
  expect(new Set(collector.spans.map(({ traceId }) => traceId))).toEqual(new Set([job.traceId]));
  expect(attempt.parentSpanId).toBe(job.spanId);
  for (const step of steps) expect(step).toMatchObject({ parentSpanId: attempt.spanId, code: 1 });
  expect(output.trim()).toBe(`00-${job.traceId}-${attempt.spanId}-01`);
});

import { Code, ConnectError } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { once } from "node:events";
import { createServer } from "node:http2";
import type { AddressInfo } from "node:net";
import { describe, expect, onTestFinished, test } from "vitest";
import { JobService } from "../../../src/gen/belay/v1/job_service_pb.ts";
import { runInProcess } from "../../helpers/in-process.ts";
import { testTracker } from "../../helpers/tracker.ts";

describe("belay submit --like", () => {
  test("registers another job with the spec of that one, and never sees its secrets", async () => {
    const { address, jobs } = await testTracker();
    const spec = { name: "train", command: ["python", "train.py"], environment: { API_KEY: "hunter2-hunter2" } };
    await jobs.createJob({ jobId: "first", spec });
    await jobs.cancelJob({ jobId: "first" });
    const env = { BELAY_TRACKER: address };
    const { code, stdout } = await runInProcess(["submit", "--like", "first", "--job", "second", "--json"], env);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      jobId: "second",
      state: "JOB_STATE_PENDING",
      spec: { ...spec, environment: { API_KEY: "***" } },
    });
    const another = await runInProcess(["submit", "--like", "first"], env);
    expect(another.stdout).toMatch(/^[0-9a-z]{12}\n$/);
    const unknown = await runInProcess(["submit", "--like", "none"], env);
    expect(unknown).toMatchObject({
      code: 125,
      stderr: expect.stringMatching(/^belay: Job "none" does not exist/) as unknown,
    });
  });

  test.each([
    [["--", "true"], {}, "a command"],
    [["--spec", "job.yaml", "--name", "x"], {}, "--spec, --name"],
    [[], { BELAY_TIMEOUT: "5s" }, "--timeout"],
  ])("refuses whatever else describes a job: %j %j", async (more, env, names) => {
    const done = await runInProcess(["submit", "--like", "first", ...more], env);
    const why = `Cannot use --like with ${names}: the new job has the spec of the job that it names`;
    expect(done).toMatchObject({ code: 64, stderr: `belay: ${why}\n` });
  });

  test("says so where the tracker is older than that, and has missed the spec", async () => {
    const createJob = (): never => {
      throw new ConnectError("spec is absent: expected the command to run", Code.InvalidArgument);
    };
    const routes = connectNodeAdapter({ routes: (router) => void router.service(JobService, { createJob }) });
    const server = createServer(routes).listen(0, "127.0.0.1");
    onTestFinished(() => void server.close());
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const done = await runInProcess(["submit", "--like", "first"], { BELAY_TRACKER: `http://127.0.0.1:${port}` });
    expect(done.code).toBe(125);
    expect(done.stderr).toMatch(/^belay: The tracker does not know --like: it is older than this command/);
  });

  test("refuses what cannot be the id of a job", async () => {
    const done = await runInProcess(["submit", "--like", "a/b"]);
    expect(done.code).toBe(64);
    expect(done.stderr).toMatch(/^belay: Cannot use --like "a\/b": expected 1 to 128 letters/);
  });
});

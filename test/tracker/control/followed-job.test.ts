import { describe, expect, test } from "vitest";
import { LogStream } from "../../../src/gen/belay/v1/job_pb.ts";
import { ScriptedAgent, waitForState } from "../../../src/testing/index.ts";
import { someSpec, testTracker } from "../../helpers/tracker.ts";

const NOT_FOUND = 5;

describe("A call that follows a job", () => {
  test.each(["watchJob", "readLogs", "readMetrics"] as const)(
    "ends with NOT_FOUND when the job is deleted: %s",
    async (method) => {
      const { address, jobs } = await testTracker();
      const agent = ScriptedAgent.connect({ url: address, jobId: "j" });
      await agent.hello({ spec: someSpec });
      agent.state("RUNNING");
      agent.event({ case: "metricSample", value: { cpuSeconds: 1 } });
      agent.print("some\n");
      // More output is still to come, so followers stay beyond the end.
      agent.result({ streams: [{ stream: LogStream.STDOUT, bytes: 99n, lines: 9n, crc32: 1 }] });
      await waitForState(jobs, "j", "SUCCEEDED");
      const follow = {
        watchJob: () => jobs.watchJob({ jobId: "j" }),
        readLogs: () => jobs.readLogs({ jobId: "j", follow: true }),
        readMetrics: () => jobs.readMetrics({ jobId: "j", follow: true }),
      };
      const answers = follow[method]()[Symbol.asyncIterator]();
      expect((await answers.next()).done).toBe(false);
      const rest = (async () => {
        while ((await answers.next()).done !== true);
      })();
      const ended = expect(rest).rejects.toMatchObject({ code: NOT_FOUND, rawMessage: 'Job "j" was deleted' });
      await jobs.deleteJob({ jobId: "j" });
      await ended;
    },
  );
});

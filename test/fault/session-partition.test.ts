import { once } from "node:events";
import { existsSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { JobState, LogCompleteness } from "../../src/gen/belay/v1/job_pb.ts";
import { readLog, waitForJob, waitForState } from "../../src/testing/index.ts";
import { testDirectory, testTracker } from "../helpers/tracker.ts";
import { counting } from "./an-agent.ts";
import { NetNamespace, noNamespaces } from "./net-namespace.ts";
import { record } from "./record.ts";

const MAIN = path.resolve(import.meta.dirname, "../../dist/cli/main.js");
const obstacle = noNamespaces() ?? (existsSync(MAIN) ? undefined : "the command is not built");

/** A heartbeat every 400 ms: three of them are 1.2 s. */
const quick = { heartbeatInterval: 400, lease: 2000 };

// The kernel drops packets between two network namespaces, without an answer.
describe.skipIf(obstacle !== undefined)(
  `A real partition${obstacle === undefined ? "" : ` (skipped: ${obstacle})`}`,
  () => {
    test.each([
      ["both ways", ["INPUT", "OUTPUT"], 0],
      ["from tracker to agent", ["INPUT"], 0],
      ["from agent to tracker", ["OUTPUT"], 0],
      // So long that the kernel waits many seconds between two SYNs, and back-off has grown.
      ["both ways, for 12 s", ["INPUT", "OUTPUT"], 12_000],
    ] as const)("%s: both notice, LOST is shown, RUNNING is back within two seconds", async (name, chains, lasting) => {
      const net = new NetNamespace();
      const { jobs, address } = await testTracker({ ...quick, listen: `${net.here}:0`, insecure: true });
      const directory = await testDirectory();
      const end = path.join(directory, "end");
      const command = [
        "run",
        "--tracker",
        address,
        "--job",
        "j1",
        "--log-level",
        "debug",
        "--",
        "sh",
        "-c",
        counting(end),
      ];
      const agent = net.spawn(process.execPath, MAIN, ...command);
      let agentLog = "";
      let written = "";
      const lost = Promise.withResolvers<number>();
      agent.stderr?.on("data", (data: Buffer) => {
        agentLog += data.toString();
        if (/Nothing came from the tracker/.test(agentLog)) lost.resolve(performance.now());
      });
      agent.stdout?.on("data", (data: Buffer) => (written += data.toString("latin1")));
      if (agent.stdout !== null) await once(agent.stdout, "data");
      await waitForJob(
        jobs,
        "j1",
        ({ attempts, state }) => state === JobState.RUNNING && (attempts[0]?.connected ?? false),
      );

      const faultTime = performance.now();
      net.drop(...chains);
      const disconnected = waitForJob(jobs, "j1", ({ attempts }) => attempts[0]?.connected === false).then(() =>
        performance.now(),
      );
      const noticed = (await lost.promise) - faultTime;
      const noticedByTracker = (await disconnected) - faultTime;
      await waitForState(jobs, "j1", "LOST");
      // This is the length of the fault, not a wait for a state.
      if (lasting > 0) await new Promise((resolve) => setTimeout(resolve, lasting));
      const back = performance.now();
      net.pass();
      await waitForState(jobs, "j1", "RUNNING");
      const recovered = performance.now() - back;

      writeFileSync(end, "");
      const [code] = (await once(agent, "close")) as [number | null];
      const stored = await readLog(jobs, "j1", { follow: false, stream: "stdout" });
      const { job } = await jobs.getJob({ jobId: "j1" });
      expect(job?.attempts[0]?.logCompleteness).toBe(LogCompleteness.COMPLETE);
      const harmed = code === 0 && written.endsWith("counted\n") ? 0 : 1;
      const bytesLost = stored === written ? 0 : Math.max(1, written.length - stored.length);
      const remark = `tracker: ${(noticedByTracker / 1000).toFixed(1)} s; heartbeat interval 0.4 s; DROP between two namespaces`;
      record({ fault: `partition ${name}`, noticed, recovered, bytesLost, harmed, remark });
      expect({ bytesLost, harmed }).toEqual({ bytesLost: 0, harmed: 0 });
      // It takes 1.5 s, of which 1.2 are three intervals. Recovery takes 0.7 s; SYNs and back-off alone take more.
      expect(noticed).toBeLessThan(3000);
      expect(noticedByTracker).toBeLessThan(3000);
      expect(recovered).toBeLessThan(2000);
    });
  },
);

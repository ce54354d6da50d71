import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { once } from "node:events";
import { rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { belay, belayEnds, tempDirectory, TrackerProcess } from "../helpers/cli.ts";
import { jobClient } from "../helpers/tracker.ts";
import { record } from "./record.ts";
import { waitForJob } from "../../src/testing/index.ts";

/** A port that is free at the moment of the call. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

const AGENTS = 4;
const RESTARTS = 6;

describe("Two trackers on one data directory, in turn, under load", () => {
  it("lose no line, and no agent exits before its job", async () => {
    const data = await tempDirectory();
    const listens = [await freePort(), await freePort()].map((port) => `127.0.0.1:${port}`);
    const addresses = listens.map((listen) => `http://${listen}`).join(",");
    // Watches of this test that were not read to their end would delay the stop of a tracker for the drain timeout.
    const args = ["--drain-timeout", "500ms"];
    let tracker = await TrackerProcess.start({ data, listen: listens[0] ?? "", args });
    const end = path.join(data, "..", `${path.basename(data)}-end`);
    onTestFinished(() => rmSync(end, { force: true }));
    const line = "line $i of a job that goes on while its tracker rolls";
    const script = `i=0; while [ ! -e ${end} ]; do i=$((i+1)); echo ${line}; [ $((i%30)) = 0 ] && sleep 0.01; done; exit 0`;
    const runs = Array.from({ length: AGENTS }, (_, n) =>
      belay(["run", "--tracker", addresses, "--job", `j${n}`, "--log-level", "error", "--", "sh", "-c", script]),
    );
    await Promise.all(runs.map((run) => run.says(/^line 100 /m)));
    let slowest = 0;
    for (let restart = 1; restart <= RESTARTS; restart++) {
      const begin = performance.now();
      expect(await tracker.cli.kill("SIGTERM")).toBe(0);
      slowest = Math.max(slowest, performance.now() - begin);
      tracker = await TrackerProcess.start({ data, listen: listens[restart % 2] ?? "", args });
      // Every agent has reconnected to this tracker before it is stopped.
      const jobs = jobClient(tracker.url);
      for (let n = 0; n < AGENTS; n++) {
        await waitForJob(jobs, `j${n}`, ({ attempts }) => attempts[0]?.connected === true);
      }
    }
    writeFileSync(end, "");
    for (const [n, run] of runs.entries()) {
      expect(await run.ended, run.stderr).toBe(0);
      const { stdout } = await belayEnds(["logs", "--tracker", tracker.url, "--stream", "stdout", `j${n}`]);
      const lines = run.stdout.trimEnd().split("\n");
      expect(lines.at(-1)).toBe(`line ${lines.length} of a job that goes on while its tracker rolls`);
      expect(stdout === run.stdout, `log of j${n}: ${stdout.length} bytes, of ${run.stdout.length}`).toBe(true);
    }
    expect(slowest).toBeLessThan(8000);
    const remark = `${AGENTS} agents; slowest stop of a tracker ${Math.round(slowest)} ms`;
    record({
      fault: `${RESTARTS} rolling restarts of two trackers on one directory`,
      bytesLost: 0,
      harmed: 0,
      remark,
    });
  });
});

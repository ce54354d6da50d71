import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { describe, it } from "vitest";
import { makeContainment } from "../../src/agent/job/tree/containment.ts";
import { eventually, watchedAgent } from "./watched-agent.ts";

const noLimit = memoryProblem();

function memoryProblem(): string | undefined {
  const { tree } = makeContainment("auto");
  const problem = tree.limitMemory(1 << 30);
  tree.close();
  return problem;
}

// One after the other: the second blocks the event loop that they share.
describe("An agent whose tracker stores health", () => {
  it.skipIf(noLimit !== undefined)(
    `reports that its job is near the memory limit, until the job frees memory${noLimit === undefined ? "" : ` (not tried: ${noLimit})`}`,
    async (context) => {
      const script = 'my $x = ""; $SIG{USR1} = sub { undef $x }; vec($x, 101_000_000, 8) = 1; sleep 1 while 1';
      const job = await watchedAgent(context, {
        command: ["perl", "-e", script],
        memoryLimitBytes: 100n << 20n,
        metricsInterval: durationFromMs(50),
      });
      await context.expect.poll(() => job.names(), eventually).toEqual(["OK", "NEAR_MEMORY_LIMIT"]);
      context
        .expect(job.health()[1]?.message)
        .toMatch(/^The job uses 9\d\.\d MiB of the 100\.0 MiB of memory that it may use \(9[5-9] %\)$/);
      job.send({ case: "signal", value: { name: "SIGUSR1" } });
      await context.expect.poll(() => job.names(), eventually).toEqual(["OK", "NEAR_MEMORY_LIMIT", "OK"]);
    },
  );

  it("reports that its own event loop was blocked, until a heartbeat without that", async (context) => {
    const job = await watchedAgent(context, { command: ["sleep", "300"] }, { interval: 300 });
    await context.expect.poll(() => job.names(), eventually).toEqual(["OK"]);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2500);
    await context.expect.poll(() => job.names(), eventually).toEqual(["OK", "AGENT_SLOW", "OK"]);
    context.expect(job.health()[1]?.message).toMatch(/^The agent's event loop was blocked for [12]\.\ds$/);
  });
});

import { spawnSync } from "node:child_process";
import { durationFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { describe, it } from "vitest";
import { EndReason, Outcome, StallAction, StallSign } from "../../src/gen/belay/v1/job_pb.ts";
import { type Context, eventually, watchedAgent as run } from "./watched-agent.ts";

/** Time without a sign of life. Milliseconds. */
const AFTER = 1000;

const stall = { after: durationFromMs(AFTER) };

/** Sleeps with threads; a signal makes it print. Its command line holds a secret. */
const HANGS = [
  "python3",
  "-c",
  `
import signal, threading, time
signal.signal(signal.SIGUSR1, lambda *_: print("awake", flush=True))
for _ in range(3): threading.Thread(target=time.sleep, args=(300,), daemon=True).start()
while True: time.sleep(300)
`,
  "hunter2-hunter2",
];
const noPython = spawnSync("python3", ["-c", ""]).status !== 0;

describe.concurrent(`A main command that hangs${noPython ? " (not tried: there is no python3)" : ""}`, () => {
  it.skipIf(noPython)(
    "is STALLED at the time set, its processes are in the log without secrets, and a sign of life makes it OK",
    async (context) => {
      const { expect } = context;
      const job = await run(context, { command: HANGS, environment: { API_TOKEN: "hunter2-hunter2" }, stall });
      await expect.poll(() => job.names(), eventually).toEqual(["OK", "STALLED"]);
      const [ok, stalled] = job.health();
      expect(stalled?.message).toBe("No output or progress for 1.0s");
      const quiet = timestampMs(stalled?.since ?? never()) - timestampMs(ok?.since ?? never());
      expect(quiet).toBeGreaterThanOrEqual(AFTER - 5);
      expect(quiet).toBeLessThan(AFTER + 10_000);
      await expect.poll(() => job.agentLog(), eventually).toContain("Its processes:");
      const [head, columns, ...rows] = job.agentLog().trimEnd().split("\n");
      expect(head).toBe("The job has stalled. No output or progress for 1.0s. Its processes:");
      expect(columns).toMatch(/^ *PID +PARENT +STATE +THREADS +WAITS IN +CPU +MEMORY +COMMAND$/);
      expect(rows).toHaveLength(1);
      expect(rows[0]).toMatch(
        /^ *\d+ +\d+ +sleeping +4 +\S+ +\d+(ms|\.\ds) +[\d.]+ MiB +\S*python3 -c +import signal, threading, time signal/,
      );
      expect(job.agentLog()).not.toContain("hunter2");
      job.send({ case: "signal", value: { name: "SIGUSR1" } });
      await expect.poll(() => job.names(), eventually).toEqual(["OK", "STALLED", "OK"]);
      await expect.poll(() => job.agentLog(), eventually).toContain("The job has given a sign of life again: output\n");
    },
  );
});

const SPINS = ["sh", "-c", "while :; do :; done"];
const SLEEPS = ["sleep", "300"];

describe.concurrent("A main command without output", () => {
  it("is STALLED although it spins, by its output; it is not by its processor time", async (context) => {
    const { expect } = context;
    const [byOutput, byCpu] = await Promise.all([
      run(context, { command: SPINS, stall }),
      run(context, { command: SPINS, stall: { ...stall, signs: [StallSign.OUTPUT, StallSign.CPU] } }),
    ]);
    await expect.poll(() => byOutput.names(), eventually).toEqual(["OK", "STALLED"]);
    await sleepingIsStalled(context);
    expect(byCpu.names()).toEqual(["OK"]);
  });

  it("is OK while it reports progress", async (context) => {
    const { expect } = context;
    const job = await run(context, {
      command: ["sh", "-c", 'while :; do echo progress=0.1 >> "$BELAY_METRICS"; sleep 0.3; done'],
      stall: { after: durationFromMs(2500) },
    });
    await sleepingIsStalled(context, 3500);
    expect(job.names()).toEqual(["OK"]);
  });

  it("is ended with STALLED where the policy says so, by the stop signal first", async (context) => {
    const { expect } = context;
    const job = await run(context, {
      command: ["sh", "-c", 'trap "echo cleaned up; exit 3" TERM; sleep 300 & wait'],
      stall: { ...stall, action: StallAction.END },
      after: [],
    });
    const { result } = await job.outcome;
    expect(result).toMatchObject({
      outcome: Outcome.FAILED,
      reason: EndReason.STALLED,
      message: "Main command gave no sign of life: no output or progress for 1.0s",
      exitCode: 3,
    });
    expect(result.evidence?.signals[0]?.signal).toBe("SIGTERM");
    expect(job.names()).toEqual(["OK", "STALLED"]);
    expect(job.agentLog()).toMatch(/Its processes:\n.*COMMAND\n.* sh -c trap/);
  });

  it("is not STALLED while it is paused", async (context) => {
    const { expect } = context;
    const job = await run(context, { command: SLEEPS, stall: { after: durationFromMs(1500) } });
    await expect.poll(() => job.names(), eventually).toEqual(["OK"]);
    job.send({ case: "pause", value: {} });
    await sleepingIsStalled(context, 2500);
    expect(job.names()).toEqual(["OK"]);
    job.send({ case: "resume", value: {} });
    await expect.poll(() => job.names(), eventually).toEqual(["OK", "STALLED"]);
  });

  it("is not watched during setup, nor without a policy", async (context) => {
    const { expect } = context;
    const [setup, none] = await Promise.all([
      run(context, { setup: [{ run: "sleep 300" }], command: SLEEPS, stall }),
      run(context, { command: SLEEPS }),
    ]);
    await sleepingIsStalled(context);
    expect([setup.names(), none.names()]).toEqual([[], ["OK"]]);
    expect(setup.agentLog()).toBe("");
  });

  it("is in the log, and no health is sent, where the tracker does not know of it", async (context) => {
    const { expect } = context;
    const job = await run(context, { command: SLEEPS, stall }, { features: [] });
    await expect.poll(() => job.agentLog(), eventually).toContain("The job has stalled.");
    expect(job.health()).toEqual([]);
  });
});

/** Waits until another job, which sleeps, has been noticed: by then, so would have been the one under test. */
async function sleepingIsStalled(context: Context, after = AFTER + 500): Promise<void> {
  const job = await run(context, { command: SLEEPS, stall: { after: durationFromMs(after) } });
  await context.expect.poll(() => job.names(), eventually).toEqual(["OK", "STALLED"]);
}

function never(): never {
  throw new Error("It has no time");
}

import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { LogCompleteness } from "../../src/gen/belay/v1/job_pb.ts";
import { checkDirectory } from "../../src/tracker/store/check/check.ts";
import { ScriptedAgent, readLog } from "../../src/testing/index.ts";
import { someSpec, testDirectory, testTracker } from "../helpers/tracker.ts";

const program = join(import.meta.dirname, "../helpers/tracker-process.ts");
/** How often the tracker is killed. */
const KILLS = Number(process.env["BELAY_TEST_KILLS"] ?? 15);
const JOBS = 4;

/** The n-th line of a job: the same in every life of its agent, of any length up to 9 kB. */
function line(job: number, n: number): string {
  return `${job} ${n} ${"x".repeat((n * 7919 + job * 131) % 9000)}\n`;
}

/** A job whose agent goes on after each crash at what the tracker says it has. */
class Load {
  readonly job: number;
  readonly id: string;
  readonly sessionId: string = crypto.randomUUID();
  /** Highest numbers that the tracker has ever confirmed. */
  events = 0;
  logs = 0;
  agent: ScriptedAgent | undefined;
  private written = 0;

  constructor(job: number) {
    this.job = job;
    this.id = `job-${job}`;
  }

  /** Connects, checks that all that was confirmed is there, and sends until the stream breaks. */
  async run(address: string): Promise<void> {
    const agent = ScriptedAgent.connect({ url: address, jobId: this.id, sessionId: this.sessionId });
    this.agent = agent;
    const welcome = await agent.hello({ spec: someSpec }).catch(() => undefined);
    // Killed before it could answer.
    if (welcome === undefined) return void (await agent.ended);
    const { committed } = welcome;
    expect(Number(committed?.logs)).toBeGreaterThanOrEqual(this.logs);
    expect(Number(committed?.events)).toBeGreaterThanOrEqual(this.events);
    this.logs = this.written = Number(committed?.logs);
    this.events = Number(committed?.events);
    agent.countDelivered(Array.from({ length: this.written }, (_, n) => line(this.job, n)));
    const over = new AbortController();
    const ended = agent.ended.then(() => over.abort());
    while (!over.signal.aborted) {
      if (this.written % 10 === 0) agent.state("RUNNING");
      agent.print(line(this.job, this.written++));
      await Promise.race([
        ended,
        agent.next("ack").then(
          (ack) => this.confirmed(ack),
          () => undefined,
        ),
      ]);
    }
  }

  private confirmed({ events, logs }: { events: bigint; logs: bigint }): void {
    this.events = Math.max(this.events, Number(events));
    this.logs = Math.max(this.logs, Number(logs));
  }
}

async function start(directory: string): Promise<{ child: ChildProcess; address: string }> {
  const child = spawn(process.execPath, [program, directory], { stdio: ["ignore", "pipe", "inherit"] });
  onTestFinished(() => void child.kill("SIGKILL"));
  const [address] = (await once(child.stdout, "data")) as [Buffer];
  return { child, address: address.toString().trim() };
}

test(`A tracker that is killed ${KILLS} times at random moments under load has every acked byte each time`, {
  timeout: 60_000 + KILLS * 10_000,
}, async () => {
  const directory = await testDirectory();
  const loads = Array.from({ length: JOBS }, (_, job) => new Load(job));
  let checked = 0;
  for (let kill = 0; kill < KILLS; kill++) {
    const { child, address } = await start(directory);
    const running = loads.map((load) => load.run(address));
    // From the first moments on, to well under way: a random number of acks decides.
    const target = loads[0] === undefined ? 0 : loads[0].logs + Math.floor(Math.random() * 150);
    const stopped = Promise.all(running);
    await Promise.race([stopped, until(() => (loads[0]?.logs ?? 0) >= target)]);
    child.kill("SIGKILL");
    await once(child, "exit");
    await stopped;
    const { findings, logs } = await checkDirectory(directory);
    expect(findings.filter(({ severity }) => severity === "problem")).toEqual([]);
    checked += logs;
  }
  expect(checked).toBeGreaterThan(0);
  const { jobs, address } = await testTracker({ dataDirectory: directory });
  for (const load of loads) {
    const agent = ScriptedAgent.connect({ url: address, jobId: load.id, sessionId: load.sessionId });
    const committed = Number((await agent.hello()).committed?.logs);
    expect(committed).toBeGreaterThanOrEqual(load.logs);
    const lines = Array.from({ length: committed }, (_, n) => line(load.job, n));
    expect((await readLog(jobs, load.id, { follow: false })) === lines.join("")).toBe(true);
    agent.countDelivered(lines);
    agent.result();
    expect(await agent.next("receipt")).toMatchObject({ logCompleteness: LogCompleteness.COMPLETE });
  }
});

/** Asks at every turn of the event loop. */
async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setImmediate(resolve));
}

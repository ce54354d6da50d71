// A process that simulates many agents: `generator.ts ADDRESS PREFIX`. Its IPC channel controls it: see protocol.ts.
import { monitorEventLoopDelay } from "node:perf_hooks";
import { LoadAgent } from "./load-agent.ts";
import { type Order, type Report, sharedClock } from "./protocol.ts";

/** Most connections that are opened at the same time. */
const OPENING = 25;

const [address = "", prefix = ""] = process.argv.slice(2);
const agents: LoadAgent[] = [];
const loop = monitorEventLoopDelay({ resolution: 5 });
loop.enable();
let cpu = process.cpuUsage();
let logging = new AbortController();

process.on("message", (order: Order) => void carryOut(order));
process.once("disconnect", () => process.exit());

async function carryOut(order: Order): Promise<void> {
  switch (order.order) {
    case "connect":
      await Promise.all(Array.from({ length: OPENING }, () => open(order.count)));
      return report({ order: "connect" });
    case "log":
      logging.abort();
      logging = new AbortController();
      for (const agent of order.bytesPerSecond > 0 ? agents.slice(0, order.agents) : []) {
        // It logs until the signal aborts, or this process ends.
        void agent.log(order.bytesPerSecond, logging.signal);
      }
      return report({ order: "log" });
    case "reset":
      for (const agent of agents) agent.lags.length = 0;
      loop.reset();
      cpu = process.cpuUsage();
      return report({ order: "reset" });
    case "measure": {
      const { user, system } = process.cpuUsage(cpu);
      return report({
        order: "measure",
        lags: agents.flatMap(({ lags }) => lags),
        loop: { p50: loop.percentile(50) / 1e6, p99: loop.percentile(99) / 1e6, max: loop.max / 1e6 },
        cpu: (user + system) / 1e6,
      });
    }
  }
}

async function open(count: number): Promise<void> {
  while (agents.length < count) {
    const jobId = `${prefix}-${agents.length}`;
    const agent = new LoadAgent(
      address,
      jobId,
      () => report({ order: "command", jobId, at: sharedClock() }),
      // Without this agent, the measurement would be of fewer agents than reported.
      (why) => process.exit(say(`The stream of "${jobId}" broke: ${why}`)),
    );
    agents.push(agent);
    await agent.welcomed;
  }
}

/** @returns exit code */
function say(message: string): number {
  console.error(message);
  return 1;
}

function report(report: Report): void {
  process.send?.(report);
}

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { within } from "../../base/deadline.ts";
import { BelayError } from "../../base/errors.ts";
import type { Tracker } from "../../tracker/options.ts";
import { startTracker } from "../../tracker/server.ts";
import { openClient } from "../client/client.ts";
import type { Command } from "../flags/command.ts";
import { command } from "../flags/command.ts";
import { aborted } from "../process/aborted.ts";
import { DEMO_TIME } from "../demo/demo-time.ts";
import type { AgentProcess } from "../demo/agent-process.ts";
import { playHello } from "../demo/hello.ts";
import { DemoPrinter } from "../demo/demo-printer.ts";
import { playStubborn } from "../demo/stubborn.ts";
import { stillAlive } from "../demo/verify.ts";
import { EXIT_BELAY, EXIT_OK } from "../process/exit-codes.ts";
import { ignoredSignals } from "../process/ignored-signals.ts";
import { takeStopSignals } from "../process/stop-signals.ts";

/** Longest time that the demo may take, on a busy machine. Milliseconds. */
const LIMIT_MS = 18_000;

/** `belay demo` */
export const demo: Command = command({
  name: "demo",
  args: [],
  about:
    "Starts a tracker in a temporary directory, runs a small job and one that ignores SIGTERM under real agents, shows " +
    `what they send, and removes everything again. Needs no other program, takes ${DEMO_TIME}.`,
  flags: {},
  examples: [["belay demo", "see it work"]],
  run: async ({ io }) => {
    const signals = takeStopSignals({ isIgnored: ignoredSignals(io) });
    const printer = new DemoPrinter(io);
    const started: DemoProcesses = { agents: [], pids: new Set() };
    const directory = await mkdtemp(path.join(tmpdir(), "belay-demo-"));
    let running: Tracker | undefined;
    try {
      await printer.text(
        `${printer.style.bold("Belay, a demonstration")}: one tracker, two agents, two jobs. All files are in ${directory}.`,
      );
      const tracker = await startTracker({
        listen: "127.0.0.1:0",
        dataDirectory: path.join(directory, "data"),
        heartbeatInterval: 1_000,
        lease: 5_000,
        drainTimeout: 1_000,
      });
      running = tracker;
      await bounded(playScenes(tracker.address, printer, started), signals.stop);
    } finally {
      await Promise.all(started.agents.map((agent) => agent.stop()));
      await running?.close();
      await rm(directory, { recursive: true, force: true });
      signals.release();
    }
    const alive = await stillAlive([...started.pids, ...started.agents.map((agent) => agent.pid)]);
    if (alive.length > 0) {
      await io.stderr.write(`belay: The demo left processes behind: pid ${alive.join(", ")}\n`);
      return EXIT_BELAY;
    }
    await epilogue(printer, started);
    return EXIT_OK;
  },
});

/** The processes of the demo, to check at the end that they are gone. */
interface DemoProcesses {
  readonly agents: AgentProcess[];
  /** Processes of the jobs. */
  readonly pids: Set<number>;
}

async function playScenes(address: string, printer: DemoPrinter, started: DemoProcesses): Promise<void> {
  using client = await openClient({ tracker: address, connectTimeout: 5_000 });
  await printer.scene("1. A tracker stores jobs and relays commands");
  await printer.typed("belay tracker");
  await printer.arrived("tracker", `listens on ${address}`);
  // Not `io.env`: the variables that were hidden from this Node must not reach those of the demo's agents and jobs.
  const context = {
    client,
    address,
    printer,
    env: process.env,
    onAgent: (agent: AgentProcess) => void started.agents.push(agent),
  };
  await playHello(context);
  for (const pid of await playStubborn(context)) started.pids.add(pid);
}

async function epilogue(printer: DemoPrinter, started: DemoProcesses): Promise<void> {
  const processes = started.pids.size + started.agents.length;
  await printer.scene("Nothing is left");
  await printer.text(`  ${processes} processes are gone, the temporary directory is removed.`);
  await printer.scene("Now try it yourself");
  await printer.typed("belay tracker");
  await printer.typed("belay run --job mine -- python train.py     # in another terminal, or on another machine");
  await printer.typed("belay logs -f mine");
}

/** Plays the demo until it ends, takes too long, or the user stops it. */
async function bounded(scenes: Promise<void>, stop: AbortSignal): Promise<void> {
  const stopped = aborted(stop).then(() => {
    throw new BelayError("STOPPED", "The demo was stopped");
  });
  await within(LIMIT_MS, Promise.race([scenes, stopped]), () => {
    throw new BelayError("INTERNAL", `The demo did not finish within ${LIMIT_MS / 1000} s`);
  });
}

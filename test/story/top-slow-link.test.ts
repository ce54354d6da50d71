import type { ChildProcessWithoutNullStreams } from "node:child_process";
import { spawn, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { Fleet } from "../helpers/fleet.ts";
import { testTracker } from "../helpers/tracker.ts";

const noPython = spawnSync("python3", ["--version"]).status === 0 ? undefined : "there is no python3 on this machine";
const FIXTURE = path.resolve(import.meta.dirname, "../fixtures/slow-terminal.py");
const MAIN = path.resolve(import.meta.dirname, "../../dist/cli/main.js");
const MiB = 2 ** 20;

/** A program on a terminal that reads a limited number of bytes a second. */
class SlowTerminal {
  readonly child: ChildProcessWithoutNullStreams;
  /** Everything drawn so far. */
  seen = "";
  private pid = 0;
  private rouse: () => void = () => undefined;

  constructor(rate: number, answers: "answers" | "mute", args: readonly string[]) {
    const command = [process.execPath, MAIN, ...args];
    const env = { ...process.env, TERM: "xterm-256color", LC_ALL: "C.UTF-8" };
    this.child = spawn("python3", [FIXTURE, String(rate), "120", "40", answers, ...command], { env });
    this.child.stderr.on("data", (data: Buffer) => (this.pid ||= Number(data)));
    this.child.stdout.on("data", (data: Buffer) => {
      this.seen += data.toString("latin1");
      this.rouse();
    });
    this.child.stdin.on("error", () => undefined);
    onTestFinished(() => {
      this.child.stdin.end();
    });
  }

  /** Waits until a pattern is drawn that was not drawn before. Returns the milliseconds that it took. */
  async draws(pattern: RegExp): Promise<number> {
    const start = performance.now();
    const from = this.seen.length;
    while (!pattern.test(this.seen.slice(from))) await new Promise<void>((resolve) => (this.rouse = resolve));
    return performance.now() - start;
  }

  press(keys: string): void {
    this.child.stdin.write(keys);
  }

  /** Resident memory of the program, in bytes. */
  get memory(): number {
    const status = readFileSync(`/proc/${this.pid}/status`, "utf8");
    return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) * 1024;
  }
}

/** A tracker with 50 jobs that send more than a slow link carries. */
async function busyTracker(): Promise<string> {
  const { address } = await testTracker();
  const fleet = await Fleet.join(address, 50);
  let round = 0;
  const timer = setInterval(() => fleet.tick(round++), 100);
  onTestFinished(() => {
    clearInterval(timer);
    fleet.vanish();
  });
  return address;
}

describe.skipIf(noPython !== undefined)(
  `belay top over a slow link${noPython === undefined ? "" : ` (${noPython})`}`,
  () => {
    test("of 2 kB/s skips frames instead of queueing them, and reacts to keys", { timeout: 120_000 }, async () => {
      const address = await busyTracker();
      const terminal = new SlowTerminal(2_000, "answers", ["top", "--tracker", address, "--interval", "250ms"]);
      await terminal.draws(/connected/);
      // More changes than the link carries: it is never idle.
      await terminal.draws(/^[^]{16000}/);
      const memory = terminal.memory;
      const took: number[] = [];
      for (let i = 0; i < 4; i++) {
        terminal.press("s");
        took.push(await terminal.draws(/Sort by/));
        terminal.press("x");
        took.push(await terminal.draws(/\? ?[^]{0,12}help/));
      }
      // A frame that was under way and one with the effect take 0.4 s; draining a terminal's full buffers takes 30 s.
      expect(Math.max(...took)).toBeLessThan(8_000);
      expect(terminal.memory - memory).toBeLessThan(64 * MiB);
      terminal.press("q");
      await terminal.draws(/\[\?1049l/);
    });

    test("works on a terminal that does not answer probes", async () => {
      const address = await busyTracker();
      const terminal = new SlowTerminal(200_000, "mute", ["top", "--tracker", address, "--interval", "250ms"]);
      await terminal.draws(/connected/);
      await terminal.draws(/^[^]{16000}/);
      terminal.press("s");
      await terminal.draws(/Sort by/);
      terminal.press("xq");
      await terminal.draws(/\[\?1049l/);
    });
  },
);

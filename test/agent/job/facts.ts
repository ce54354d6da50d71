import fs from "node:fs";
import { sleep } from "../../../src/base/clock.ts";

/** Waits for something to become true. Never a fixed sleep: it looks every few milliseconds, up to a deadline. */
export async function eventually<T>(what: string, probe: () => T | undefined | false, ms = 10_000): Promise<T> {
  const deadline = performance.now() + ms;
  for (;;) {
    const found = probe();
    if (found !== undefined && found !== false) return found;
    if (performance.now() > deadline) throw new Error(`Not within ${ms} ms: ${what}`);
    await sleep(3);
  }
}

/** Command lines of all processes, zombies left out, that carry a mark in their environment or arguments. */
export function processesWith(mark: string, except: number = process.pid): string[] {
  const found: string[] = [];
  for (const pid of fs.readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    if (Number(pid) === process.pid || Number(pid) === except) continue;
    try {
      const command = fs.readFileSync(`/proc/${pid}/cmdline`, "latin1");
      const environment = fs.readFileSync(`/proc/${pid}/environ`, "latin1");
      if (isAlive(Number(pid)) && (command.includes(mark) || environment.includes(mark))) {
        found.push(`${pid} ${command.replaceAll("\0", " ")}`);
      }
    } catch {
      // It has ended meanwhile.
    }
  }
  return found;
}

/** Whether a process is there and no zombie. */
export function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(fs.readFileSync(`/proc/${pid}/status`, "latin1"));
  } catch {
    return false;
  }
}

import fs from "node:fs";
import { randomBytes } from "node:crypto";
import { eventually } from "../agent/job/facts.ts";

/** The freezer of cgroup v1: a process frozen in it handles no signal, not even SIGKILL, until it is thawed. */
const FREEZER = "/sys/fs/cgroup/freezer";

/** Why processes cannot be frozen here. Undefined: they can. */
export const noFreezer: string | undefined = tryFreezer();

function tryFreezer(): string | undefined {
  const directory = `${FREEZER}/belay-test-${randomBytes(6).toString("hex")}`;
  try {
    fs.mkdirSync(directory);
    const works = fs.existsSync(`${directory}/freezer.state`);
    fs.rmdirSync(directory);
    return works ? undefined : "this machine has no freezer of cgroup v1";
  } catch (error) {
    return `this machine has no freezer of cgroup v1 for us: ${String(error)}`;
  }
}

/** A process that no signal can end. It is thawed when the test is over. */
export class Frozen implements AsyncDisposable {
  private readonly directory = `${FREEZER}/belay-test-${randomBytes(6).toString("hex")}`;

  private constructor(pid: number) {
    fs.mkdirSync(this.directory);
    fs.writeFileSync(`${this.directory}/cgroup.procs`, String(pid));
    fs.writeFileSync(`${this.directory}/freezer.state`, "FROZEN");
  }

  /** Freezes a process. */
  static async freeze(pid: number): Promise<Frozen> {
    const frozen = new Frozen(pid);
    const state = (): string => fs.readFileSync(`${frozen.directory}/freezer.state`, "latin1").trim();
    await eventually("frozen", () => state() === "FROZEN");
    return frozen;
  }

  /** Thaws the process: it handles its pending signals. */
  thaw(): void {
    fs.writeFileSync(`${this.directory}/freezer.state`, "THAWED");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.thaw();
    await eventually("frozen process gone", () => {
      if (fs.readFileSync(`${this.directory}/cgroup.procs`, "latin1") !== "") return false;
      fs.rmdirSync(this.directory);
      return true;
    });
  }
}

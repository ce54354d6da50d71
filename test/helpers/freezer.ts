import fs from "node:fs";
import { randomBytes } from "node:crypto";
import { eventually } from "../agent/job/facts.ts";

/** The freezer of cgroup v1: what is frozen in it takes no signal, SIGKILL included, until it is thawed. */
const FREEZER = "/sys/fs/cgroup/freezer";

/** Why nothing can be frozen here; undefined: it can. */
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

/** A process that nothing ends. Thawed when the test is over. */
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

  /** Lets it take the signals that wait for it. */
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

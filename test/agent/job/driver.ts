import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { createInterface } from "node:readline";
import { create, type JsonObject, type MessageInitShape, toJson } from "@bufbuild/protobuf";
import type { EndTiming } from "../../../src/agent/job/end/end-timing.ts";
import { makeContainment } from "../../../src/agent/job/tree/containment.ts";
import type { ContainmentChoice } from "../../../src/agent/options.ts";
import { JobSpecSchema } from "../../../src/gen/belay/v1/job_pb.ts";
import { eventually, processesWith } from "./facts.ts";

const DRIVER = fileURLToPath(new URL("../../fixtures/job-driver.ts", import.meta.url));
const VICES = fileURLToPath(new URL("../../fixtures/vices/", import.meta.url));
/** The user that runs the agent where it is not root: uid 65534 of every Linux. */
const UNPRIVILEGED = 65534;

/** A way of running the agent. */
export interface Mode {
  readonly name: string;
  readonly containment: ContainmentChoice;
  readonly uid?: number;
  /** Why it cannot be tested on this machine. */
  readonly skip?: string;
}

/** Every way of running the agent that there is. */
export const MODES: readonly Mode[] = [
  { name: "as root in a cgroup", containment: "cgroup", ...cgroupSkip() },
  { name: "in a process group", containment: "process-group" },
  {
    name: "in a process group as an unprivileged user",
    containment: "auto",
    uid: UNPRIVILEGED,
    ...userSkip(),
  },
];

function userSkip(): { skip?: string } {
  if (process.getuid?.() !== 0) return { skip: "only root can make another user's process" };
  for (let directory = path.dirname(DRIVER); directory !== "/"; directory = path.dirname(directory)) {
    if ((fs.statSync(directory).mode & 0o001) === 0) return { skip: `other users may not enter "${directory}"` };
  }
  return {};
}

function cgroupSkip(): { skip?: string } {
  try {
    makeContainment("cgroup").tree.close();
    return {};
  } catch (error) {
    return { skip: String(error) };
  }
}

/** Path of a program that behaves badly in one way. */
export function vice(name: string): string {
  return VICES + name;
}

/** One line that the driver has written. */
type Line = Record<string, unknown> & {
  output?: string;
  pid?: number;
  state?: string;
  cgroup?: string;
  result?: JsonObject;
};

/** A job under an agent in a process of its own. */
export class Driven implements AsyncDisposable {
  readonly lines: Line[] = [];
  readonly child: ChildProcess;
  /** Stands in the environment of the agent and all that it starts; finds them whatever the code under test thinks. */
  readonly mark: string = `mark-${randomBytes(8).toString("hex")}`;
  /** The agent's directory for temporary files, its own. */
  readonly temporary: string = `/tmp/${this.mark}`;
  /** Path of a file that a fixture may write. */
  readonly note: string = `${this.temporary}.note`;
  private errors = "";

  /**
   * @param command made from the mark and a path for notes
   * @param wrap program and arguments that start the agent in their turn
   * @param timing bounds of the job's end, where a test would wait for the real ones
   */
  constructor(
    mode: Mode,
    command: (mark: string, note: string) => string[],
    spec: MessageInitShape<typeof JobSpecSchema> = {},
    wrap: readonly string[] = [],
    timing: Partial<EndTiming> = {},
  ) {
    fs.mkdirSync(this.temporary);
    fs.chmodSync(this.temporary, 0o1777);
    const user =
      mode.uid === undefined ? [] : ["setpriv", `--reuid=${mode.uid}`, `--regid=${mode.uid}`, "--clear-groups"];
    const [file, ...args] = [...wrap, ...user, process.execPath, "--no-warnings", DRIVER];
    this.child = spawn(file ?? process.execPath, args, {
      stdio: ["pipe", "pipe", "pipe"],
      cwd: "/",
      env: { PATH: process.env["PATH"], TMPDIR: this.temporary },
    });
    createInterface({ input: this.child.stdout ?? process.stdin }).on("line", (line) => {
      try {
        this.lines.push(JSON.parse(line) as Line);
      } catch {
        this.errors += line;
      }
    });
    this.child.stderr?.on("data", (data) => (this.errors += String(data)));
    this.child.stdin?.on("error", () => undefined);
    const job = create(JobSpecSchema, { command: command(this.mark, this.note), ...spec });
    this.send({ start: { spec: toJson(JobSpecSchema, job), containment: mode.containment, timing } });
  }

  send(line: Record<string, unknown>): void {
    this.child.stdin?.write(`${JSON.stringify(line)}\n`);
  }

  get output(): string {
    return this.lines.map((line) => line.output ?? "").join("");
  }

  /** Waits until the job has printed something. */
  async printed(text: string): Promise<void> {
    await this.until(`output "${text}"`, () => this.output.includes(text));
  }

  async until<T>(what: string, probe: () => T | undefined | false, ms?: number): Promise<T> {
    try {
      return await eventually(what, probe, ms);
    } catch (error) {
      throw new Error(`${String(error)}; lines ${JSON.stringify(this.lines)}; errors ${this.errors}`, { cause: error });
    }
  }

  async result(ms?: number): Promise<JsonObject> {
    return this.until("result", () => this.lines.find((line) => line.result !== undefined)?.result, ms);
  }

  /** The job's own processes, the agent's helpers included, as the machine knows them. */
  processes(): string[] {
    return processesWith(this.mark, this.child.pid);
  }

  /** All that is there of a job apart from processes. */
  leftovers(): string[] {
    const left = fs.readdirSync(this.temporary).map((name) => `${this.temporary}/${name}`);
    const cgroup = this.lines.find((line) => line.cgroup !== undefined)?.cgroup ?? "";
    return cgroup !== "" && fs.existsSync(cgroup) ? [...left, cgroup] : left;
  }

  /** Waits until the agent's process has ended by itself. */
  async exited(): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) await once(this.child, "exit");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.child.kill("SIGKILL");
    await this.exited();
    fs.rmSync(this.temporary, { recursive: true, force: true });
    fs.rmSync(this.note, { force: true });
  }
}

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { type Client, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { type Job, type JobState, LogStream, type StreamTotals } from "../../src/gen/belay/v1/job_pb.ts";
import { JobService } from "../../src/gen/belay/v1/job_service_pb.ts";
import { childrenCpu } from "./processes.ts";

/** The built command. */
const MAIN = path.resolve(import.meta.dirname, "../../dist/cli/main.js");
/** `PATH` with the directory of this Node first: the command finds `node` there. */
const NODE_PATH = `${path.dirname(process.execPath)}:${process.env["PATH"] ?? ""}`;
/** Time between two checks of the tracker's files. Milliseconds. */
const LOOK_MS = 5;
/** Time that a process has to end after SIGTERM. Milliseconds. */
const GRACE_MS = 3_000;

/** A process that a benchmark started. */
export interface Started {
  readonly child: ChildProcess;
  readonly pid: number;
  /** Resolves with the exit code when the process has ended. */
  readonly ended: Promise<number | null>;
}

/** A tracker process and a directory for one benchmark. Both are removed when it is closed. */
export class Stage {
  /** Directory for the benchmark's own files, on the same file system as the tracker's data. */
  readonly directory: string;
  private readonly data: string;
  private readonly children = new Set<ChildProcess>();
  private tracker: Started | undefined;
  private url = "";
  private jobs: Client<typeof JobService> | undefined;

  private constructor() {
    this.directory = mkdtempSync(path.join(tmpdir(), "belay-bench-"));
    this.data = path.join(this.directory, "data");
    process.once("exit", this.drop);
  }

  static async open(): Promise<Stage> {
    const stage = new Stage();
    await stage.startTracker();
    return stage;
  }

  /** Address of the tracker. */
  get address(): string {
    return this.url;
  }

  get trackerPid(): number {
    return this.tracker?.pid ?? 0;
  }

  get client(): Client<typeof JobService> {
    if (this.jobs === undefined) throw new Error("The tracker was not started");
    return this.jobs;
  }

  /** Starts the tracker; after `killTracker`, with the same data and address. */
  async startTracker(): Promise<void> {
    const listen = this.url === "" ? "127.0.0.1:0" : new URL(this.url).host;
    this.tracker = this.belay(["tracker", "--listen", listen, "--data", this.data], "stderr");
    let output = "";
    for await (const chunk of this.tracker.child.stderr ?? []) {
      output += String(chunk);
      const url = /listening on (\S+?),/.exec(output)?.[1];
      if (url === undefined) continue;
      this.url = url;
      this.jobs = createClient(JobService, createGrpcTransport({ baseUrl: url }));
      return;
    }
    throw new Error(`The tracker did not start: ${output}`);
  }

  /** Kills the tracker with SIGKILL, and waits for its end. */
  async killTracker(): Promise<void> {
    this.tracker?.child.kill("SIGKILL");
    await this.tracker?.ended;
  }

  /** Starts an agent. @param flags more flags of `belay run`, which may include another `--tracker` */
  agent(jobId: string, command: readonly string[], flags: readonly string[] = []): Started {
    return this.belay(["run", "--tracker", this.url, "--quiet", "--job", jobId, ...flags, "--", ...command]);
  }

  /** Starts the built command. */
  belay(args: readonly string[], pipe?: "stdout" | "stderr"): Started {
    return this.start(MAIN, args, pipe);
  }

  /** Runs the built command and writes its output into a file. @returns processor seconds that it took */
  async into(file: string, args: readonly string[]): Promise<number> {
    const shell = this.start("bash", ["-c", '"$@" > "$0" && times', file, MAIN, ...args], "stdout");
    let output = "";
    for await (const chunk of shell.child.stdout ?? []) output += String(chunk);
    const code = await shell.ended;
    if (code !== 0) throw new Error(`"belay ${args.join(" ")}" ended with ${code}: expected 0`);
    return childrenCpu(output);
  }

  /** Starts any process. @param pipe which of its outputs can be read; the others go nowhere */
  start(file: string, args: readonly string[], pipe?: "stdout" | "stderr"): Started {
    const stdio = ["stdin", "stdout", "stderr"].map((name) => (name === pipe ? "pipe" : "ignore"));
    const child = spawn(file, args, { stdio, env: { ...process.env, PATH: NODE_PATH } });
    this.children.add(child);
    const ended = once(child, "exit").then(([code]) => {
      this.children.delete(child);
      return code as number | null;
    });
    return { child, pid: child.pid ?? 0, ended };
  }

  /** Runs a command to its end. @returns milliseconds that it took */
  async time(file: string, args: readonly string[]): Promise<number> {
    const start = performance.now();
    const code = await this.start(file, args).ended;
    const taken = performance.now() - start;
    if (code !== 0) throw new Error(`"${file}" ended with ${code}: expected 0`);
    return taken;
  }

  /** Waits until a job is in a state. */
  async until(jobId: string, state: JobState): Promise<Job> {
    for (;;) {
      try {
        for await (const { job } of this.client.watchJob({ jobId })) {
          if (job?.state === state) return job;
        }
        throw new Error(`Job "${jobId}" ended and was never in state ${state}`);
      } catch (error) {
        if (!String(error).includes("not_found")) throw error;
        await wait(LOOK_MS);
      }
    }
  }

  /** Waits until the tracker has a number of bytes of a job's standard output. @returns the totals that it has */
  async committed(jobId: string, bytes: bigint): Promise<StreamTotals> {
    // Looks at the tracker's files: calls would take a quarter of a core from the measured processes, and output that
    // is not in a file is not committed.
    while (this.logBytes() < bytes) await wait(LOOK_MS);
    for (;;) {
      const { job } = await this.client.getJob({ jobId });
      const stored = job?.attempts.at(-1)?.stored.find(({ stream }) => stream === LogStream.STDOUT);
      if (stored !== undefined && stored.bytes >= bytes) return stored;
      await wait(LOOK_MS);
    }
  }

  /** Bytes of all logs on disk. */
  private logBytes(): number {
    const logs = path.join(this.data, "logs");
    if (!existsSync(logs)) return 0;
    const names = readdirSync(logs, { recursive: true, encoding: "utf8" });
    return names.reduce((sum, name) => {
      const stats = statSync(path.join(logs, name), { throwIfNoEntry: false });
      return sum + (stats?.isFile() === true ? stats.size : 0);
    }, 0);
  }

  /** Ends a job at once, waits for its agent, and deletes the job. */
  async clear(jobId: string, agent: Started): Promise<void> {
    await this.client.cancelJob({ jobId, gracePeriod: { seconds: 0n, nanos: 0 } });
    await agent.ended;
    await this.client.deleteJob({ jobId });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const children = [...this.children];
    const gone = Promise.all(children.map((child) => once(child, "exit")));
    // A stopped process handles SIGTERM only after SIGCONT.
    for (const signal of ["SIGTERM", "SIGCONT"] as const) for (const child of children) child.kill(signal);
    const late = new AbortController();
    await Promise.race([gone, wait(GRACE_MS, undefined, { signal: late.signal }).catch(() => undefined)]);
    late.abort();
    for (const child of children) child.kill("SIGKILL");
    await gone;
    process.off("exit", this.drop);
    this.drop();
  }

  /** Removes everything, also when this process ends early. */
  private readonly drop = (): void => {
    for (const child of this.children) child.kill("SIGKILL");
    rmSync(this.directory, { recursive: true, force: true });
  };
}

import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { once } from "node:events";
import { createClient, type Client } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import type { Job, JobState } from "../../src/gen/belay/v1/job_pb.ts";
import { JobService } from "../../src/gen/belay/v1/job_service_pb.ts";

const MAIN = path.resolve(import.meta.dirname, "../../dist/cli/main.js");

/** One measured line of the table. */
export interface Row {
  /** What was measured. */
  readonly what: string;
  /** Values of ours, one a run; the median is shown. */
  readonly ours: readonly number[];
  /** Values of the reference in the same run; absent if there is none. */
  readonly reference?: { readonly what: string; readonly values: readonly number[] };
  readonly unit: string;
  /** What DESIGN.md asks for, for people. */
  readonly reach: string;
}

/** A benchmark: takes some seconds, returns its rows. */
export interface Bench {
  readonly name: string;
  readonly about: string;
  run(bench: Stage): Promise<Row[]>;
}

/** A `belay` process that a benchmark started. */
export interface Started {
  readonly child: ChildProcess;
  readonly pid: number;
  /** Exit code, when it has ended. */
  readonly ended: Promise<number | null>;
}

/** What benchmarks stand on: a tracker process of their own and a directory; all gone when it is closed. */
export class Stage {
  readonly directory: string = mkdtempSync(path.join(tmpdir(), "belay-bench-"));
  readonly client: Client<typeof JobService>;
  readonly trackerPid: number;
  /** Where the tracker is. */
  readonly address: string;
  private readonly children: Set<ChildProcess>;

  private constructor(url: string, tracker: ChildProcess, children: Set<ChildProcess>) {
    this.address = url;
    this.trackerPid = tracker.pid ?? 0;
    this.children = children;
    this.client = createClient(JobService, createGrpcTransport({ baseUrl: url }));
  }

  static async open(): Promise<Stage> {
    const children = new Set<ChildProcess>();
    const data = mkdtempSync(path.join(tmpdir(), "belay-bench-data-"));
    const args = [MAIN, "tracker", "--listen", "127.0.0.1:0", "--data", data];
    const tracker = spawn(process.execPath, args, { stdio: ["ignore", "ignore", "pipe"] });
    children.add(tracker);
    tracker.once("exit", () => rmSync(data, { recursive: true, force: true }));
    let said = "";
    for await (const chunk of tracker.stderr ?? []) {
      said += String(chunk);
      const url = /listening on (\S+?),/.exec(said)?.[1];
      if (url !== undefined) {
        tracker.stderr?.resume();
        return new Stage(url, tracker, children);
      }
    }
    throw new Error(`The tracker did not start: ${said}`);
  }

  /** Starts an agent. */
  agent(jobId: string, command: readonly string[], flags: readonly string[] = []): Started {
    const args = [MAIN, "run", "--tracker", this.address, "--quiet", "--job", jobId, ...flags, "--", ...command];
    return this.start(process.execPath, args);
  }

  /** Starts any process. */
  start(file: string, args: readonly string[]): Started {
    const child = spawn(file, args, { stdio: ["ignore", "ignore", "ignore"] });
    this.children.add(child);
    const ended = once(child, "exit").then(([code]) => {
      this.children.delete(child);
      return code as number | null;
    });
    return { child, pid: child.pid ?? 0, ended };
  }

  /** Runs a command to its end. @returns milliseconds it took */
  async time(file: string, args: readonly string[]): Promise<number> {
    const start = performance.now();
    const code = await this.start(file, args).ended;
    if (code !== 0) throw new Error(`${file} ended with ${code}`);
    return performance.now() - start;
  }

  /** Waits until a job is in a state. */
  async until(jobId: string, state: JobState): Promise<Job> {
    for (;;) {
      try {
        for await (const { job } of this.client.watchJob({ jobId })) {
          if (job?.state === state) return job;
        }
        throw new Error(`Job ${jobId} ended and never was in state ${state}`);
      } catch (error) {
        if (!String(error).includes("not_found")) throw error;
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const children = [...this.children];
    const gone = children.map((child) => once(child, "exit"));
    for (const child of children) child.kill("SIGTERM");
    await Promise.all(gone);
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** A field of /proc/PID/status that is in kB, in bytes. */
export function memoryOf(pid: number, field: "VmHWM" | "VmRSS" | "RssAnon"): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(status)?.[1] ?? Number.NaN) * 1024;
}

/** Processor seconds that a process has used, its reaped children not included. */
export function cpuOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** The value below which a share of the values lies, by nearest rank. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
}

/** The middle value. */
export function median(values: readonly number[]): number {
  return percentile(values, 0.5);
}

import { type ChildProcess, execFile, spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { cpus, hostname, tmpdir } from "node:os";
import path from "node:path";
import { getuid } from "node:process";
import { promisify } from "node:util";
import { vi } from "vitest";

const run = promisify(execFile);
// Where Debian has its daemons; not in every user's PATH.
const PATH = `${process.env["PATH"] ?? ""}:/usr/sbin`;

/** Why no Slurm cluster can be started here. Undefined: one can. */
export const noSlurm: string | undefined = whyNoSlurm();

function whyNoSlurm(): string | undefined {
  if (getuid?.() !== 0) return "slurmd needs root";
  for (const daemon of ["munged", "slurmctld", "slurmd"]) {
    const { error } = spawnSync(daemon, ["-V"], { env: { PATH } });
    if (error !== undefined) return `there is no ${daemon} (Debian: slurm-wlm)`;
  }
  return undefined;
}

/** A Slurm cluster of one node, this machine, with Debian's daemons and all of its files in one temporary directory. */
export class SlurmCluster {
  readonly directory: string;
  private readonly daemons: ChildProcess[] = [];

  private constructor(directory: string) {
    this.directory = directory;
  }

  /** Resolves when the node is ready for jobs. */
  static async start(): Promise<SlurmCluster> {
    const cluster = new SlurmCluster(await mkdtemp(path.join(tmpdir(), "belay-slurm-")));
    try {
      await cluster.begin();
    } catch (error) {
      await cluster.close();
      throw error;
    }
    return cluster;
  }

  /** @returns the job's id */
  async submit(script: string, ...options: readonly string[]): Promise<string> {
    const file = this.path(`${randomBytes(4).toString("hex")}.sh`);
    await writeFile(file, script, { mode: 0o755 });
    const output = ["-o", this.path("output-%j.txt"), "--open-mode=append"];
    const { stdout } = await this.call("sbatch", ["--parsable", ...output, ...options, file]);
    return stdout.trim();
  }

  /** Requeues a job. Resolves when it has started again, soon: Slurm itself waits 120 s, as long as a credential lives. */
  async requeue(job: string): Promise<void> {
    await this.call("scontrol", ["requeue", job]);
    await vi.waitFor(async () => {
      const shown = await this.show(job);
      const node = (await this.call("sinfo", ["-h", "-o", "%t"])).stdout.trim();
      if (!/JobState=PENDING Reason=BeginTime/.test(shown) || node !== "idle") {
        throw new Error(`Job ${job} is not back in the queue, the node is ${node}: ${shown}`);
      }
    }, LONG);
    // A credential of the same second as the end of the run before counts as revoked.
    await this.call("scontrol", ["update", `jobid=${job}`, "starttime=now+2"]);
    await this.becomes(job, "RUNNING");
  }

  /** Resolves when Slurm's own state of the job is this. */
  async becomes(job: string, state: string): Promise<void> {
    await vi.waitFor(async () => {
      const found = /JobState=(\S+)/.exec(await this.show(job))?.[1];
      if (found !== state)
        throw new Error(`Slurm says ${found}, expected ${state}; ${await this.output(job)}\n${await this.logs()}`);
    }, LONG);
  }

  /** All that Slurm shows of a job. */
  private async show(job: string): Promise<string> {
    return (await this.call("scontrol", ["show", "job", job])).stdout;
  }

  /** What the job's script has printed, in all of its runs. */
  output(job: string): Promise<string> {
    return readFile(this.path(`output-${job}.txt`), "utf8").catch(() => "");
  }

  async call(command: string, args: readonly string[]): Promise<{ stdout: string; stderr: string }> {
    return run(command, args, { env: { PATH, SLURM_CONF: this.path("slurm.conf") } });
  }

  path(name: string): string {
    return path.join(this.directory, name);
  }

  /** Ends jobs that a failed test has left, then the daemons. */
  async close(): Promise<void> {
    await this.endJobs().catch(() => undefined);
    for (const daemon of this.daemons.toReversed()) {
      if (daemon.exitCode !== null || daemon.signalCode !== null) continue;
      daemon.kill("SIGTERM");
      const late = setTimeout(() => daemon.kill("SIGKILL"), 5000);
      await once(daemon, "exit");
      clearTimeout(late);
    }
    await rm(this.directory, { recursive: true, force: true, maxRetries: 5 });
  }

  private async endJobs(): Promise<void> {
    await this.call("scancel", ["--full", "--signal=KILL", "--user=root"]);
    const isIdle = async (): Promise<void> => {
      const { stdout } = await this.call("squeue", ["-h"]);
      if (stdout !== "") throw new Error(`There are jobs: ${stdout}`);
    };
    await vi.waitFor(isIdle, { timeout: 5000, interval: 50 });
  }

  private async begin(): Promise<void> {
    for (const name of ["run", "state", "spool"]) await mkdir(this.path(name));
    await writeFile(this.path("munge.key"), randomBytes(128), { mode: 0o600 });
    await writeFile(this.path("slurm.conf"), await this.config());
    await this.daemon("munged", [
      "--foreground",
      "--force",
      `--socket=${this.path("run/munge.socket")}`,
      ...["key", "pid", "log", "seed"].map((what) => `--${what}-file=${this.path(`munge.${what}`)}`),
    ]);
    await this.daemon("slurmctld", ["-D", "-f", this.path("slurm.conf")]);
    await this.daemon("slurmd", ["-D", "-f", this.path("slurm.conf")]);
    await vi.waitFor(async () => {
      const { stdout } = await this.call("sinfo", ["-h", "-o", "%t"]);
      if (stdout.trim() !== "idle") throw new Error(`The node is "${stdout.trim()}": ${await this.logs()}`);
    }, LONG);
  }

  private async daemon(command: string, args: readonly string[]): Promise<void> {
    const child = spawn(command, args, {
      env: { PATH, SLURM_CONF: this.path("slurm.conf") },
      stdio: ["ignore", "ignore", "ignore"],
    });
    await once(child, "spawn");
    this.daemons.push(child);
  }

  private async logs(): Promise<string> {
    const texts = ["slurmctld.log", "slurmd.log"].map((name) => readFile(this.path(name), "utf8").catch(() => ""));
    return (await Promise.all(texts)).join("\n");
  }

  /** `slurm.conf(5)` has each of these. */
  private async config(): Promise<string> {
    const name = hostname().split(".", 1)[0] ?? "";
    const [controller, node] = await freePorts();
    return `
ClusterName=belay
SlurmctldHost=${name}(127.0.0.1)
SlurmctldPort=${controller}
SlurmdPort=${node}
AuthType=auth/munge
AuthInfo=socket=${this.path("run/munge.socket")}
SlurmUser=root
SlurmdUser=root
StateSaveLocation=${this.path("state")}
SlurmdSpoolDir=${this.path("spool")}
SlurmctldPidFile=${this.path("slurmctld.pid")}
SlurmdPidFile=${this.path("slurmd.pid")}
SlurmctldLogFile=${this.path("slurmctld.log")}
SlurmdLogFile=${this.path("slurmd.log")}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SelectType=select/linear
SchedulerParameters=sched_interval=1,batch_sched_delay=0,bf_interval=1,sched_min_interval=0
# Of a stop: from SIGTERM to SIGKILL.
KillWait=10
ReturnToService=2
NodeName=${name} NodeAddr=127.0.0.1 CPUs=${cpus().length} State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE OverSubscribe=FORCE:8 State=UP
`;
  }
}

/** Bound of each wait, and how often is asked. */
const LONG = { timeout: 30_000, interval: 50 };

async function freePorts(): Promise<[number, number]> {
  const servers = [createServer(), createServer()];
  const ports = await Promise.all(
    servers.map(async (server) => {
      await once(server.listen(0, "127.0.0.1"), "listening");
      const address = server.address();
      return typeof address === "object" && address !== null ? address.port : 0;
    }),
  );
  for (const server of servers) server.close();
  return [ports[0] ?? 0, ports[1] ?? 0];
}

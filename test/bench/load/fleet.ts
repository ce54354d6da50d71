import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { setPriority } from "node:os";
import path from "node:path";
import { type Measured, type Order, type Report, sharedClock } from "./protocol.ts";

/** Many simulated agents in a few processes, which run with a lower priority than the tracker. */
export class Fleet {
  private readonly generators: readonly ChildProcess[];
  private readonly commands = new Map<string, (at: number) => void>();

  /** @param nice niceness of the processes, 0 to 19 */
  constructor(address: string, processes: number, nice: number) {
    const file = path.join(import.meta.dirname, "generator.ts");
    this.generators = Array.from({ length: processes }, (_, index) => {
      const child = fork(file, [address, `load-${index}`], { serialization: "advanced" });
      setPriority(child.pid ?? 0, nice);
      // Each cancel under way has a listener on its generator.
      child.setMaxListeners(0);
      child.on("message", (report: Report) => {
        if (report.order === "command") this.commands.get(report.jobId)?.(report.at);
      });
      return child;
    });
  }

  /** Opens agents until there are `count`, the same number in each process. */
  async connect(count: number): Promise<void> {
    await this.order({ order: "connect", count: Math.ceil(count / this.generators.length) });
  }

  /** Makes some agents log, each at a rate. 0: none logs any more. */
  async log(agents: number, bytesPerSecond: number): Promise<void> {
    await this.order({ order: "log", agents: Math.ceil(agents / this.generators.length), bytesPerSecond });
  }

  async reset(): Promise<void> {
    await this.order({ order: "reset" });
  }

  async measure(): Promise<Measured[]> {
    return (await this.order({ order: "measure" })).filter((report) => report.order === "measure");
  }

  /** Id of an agent's job, spread over the processes. */
  jobId(index: number): string {
    return `load-${index % this.generators.length}-${Math.floor(index / this.generators.length)}`;
  }

  /** Milliseconds from now to the next command at a job's agent. */
  async commanded(jobId: string): Promise<number> {
    const asked = sharedClock();
    const { promise, resolve } = Promise.withResolvers<number>();
    this.commands.set(jobId, resolve);
    return (await promise) - asked;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const gone = this.generators.filter(({ exitCode }) => exitCode === null).map((child) => once(child, "exit"));
    for (const child of this.generators) child.kill("SIGKILL");
    await Promise.all(gone);
  }

  private order(order: Order): Promise<Report[]> {
    return Promise.all(
      this.generators.map(async (child) => {
        const { promise, resolve, reject } = Promise.withResolvers<Report>();
        const answer = (report: Report): void => {
          if (report.order === order.order) resolve(report);
        };
        const lost = (): void => reject(new Error("A process that plays agents ended"));
        child.on("message", answer);
        child.once("exit", lost);
        child.send(order);
        return promise.finally(() => {
          child.off("message", answer);
          child.off("exit", lost);
        });
      }),
    );
  }
}

import { cpus, loadavg, release, totalmem } from "node:os";

/** The machine on which figures were measured. */
export interface Machine {
  /** The processor's model. */
  readonly processor: string;
  readonly cores: number;
  readonly memoryBytes: number;
  readonly node: string;
  readonly kernel: string;
  /** Average number of processes that could run, over the last minute before the benchmark. */
  readonly load: number;
}

/** Share of the cores that may be busy before figures count as doubtful. */
const BUSY = 0.25;

/** This machine, with its present load. */
export function thisMachine(): Machine {
  return {
    processor: cpus()[0]?.model ?? "unknown",
    cores: cpus().length,
    memoryBytes: totalmem(),
    node: process.versions.node,
    kernel: release(),
    load: loadavg()[0] ?? 0,
  };
}

/** One line about a machine, and one more if it was busy. */
export function describeMachine({ processor, cores, memoryBytes, node, kernel, load }: Machine): string {
  const facts = [processor, `${cores} cores`, `${(memoryBytes / 2 ** 30).toFixed(0)} GiB`];
  facts.push(`Node ${node}`, `Linux ${kernel}`, `load ${load.toFixed(2)}`);
  const busy = load > BUSY * cores;
  return (
    facts.join(", ") + (busy ? "\nThe machine is busy with other work: figures will be worse and spread wider" : "")
  );
}

import fs from "node:fs";
import { readKernelFile } from "../tree/proc.ts";

/** Bytes through the interfaces of a network namespace, the loopback left out. */
export interface Traffic {
  readonly received: number;
  readonly sent: number;
}

/**
 * Counts what a job receives and sends, where that can be told: the kernel counts by network namespace, not by process.
 * So there is a figure only when the job's namespace is its own, or a container's, which then has the agent's stream to
 * the tracker in it. In the namespace of a machine, the figure would be everybody's traffic.
 */
export class NetworkMeter {
  private namespace: string | undefined;
  private base: Traffic = { received: 0, sent: 0 };
  private counted: Traffic = { received: 0, sent: 0 };
  private containers: boolean | undefined;

  /**
   * What went through since the first look.
   *
   * @param pid of a process of the job; when that has ended, its own namespace is looked at no more
   */
  look(pid: number): Traffic | undefined {
    const ours = namespaceOf(process.pid);
    const namespace = namespaceOf(pid) ?? this.namespace;
    if (namespace === undefined || (namespace === ours && !this.isContainers())) return undefined;
    const now = parseTraffic(readKernelFile(`/proc/${namespace === ours ? process.pid : pid}/net/dev`) ?? "");
    if (now === undefined) return this.namespace === namespace ? this.counted : undefined;
    if (this.namespace !== namespace) {
      this.namespace = namespace;
      this.base = { received: now.received - this.counted.received, sent: now.sent - this.counted.sent };
    }
    this.counted = {
      received: Math.max(this.counted.received, now.received - this.base.received),
      sent: Math.max(this.counted.sent, now.sent - this.base.sent),
    };
    return this.counted;
  }

  private isContainers(): boolean {
    return (this.containers ??= isContainerNetwork());
  }
}

function namespaceOf(pid: number): string | undefined {
  try {
    return fs.readlinkSync(`/proc/${pid}/ns/net`);
  } catch {
    return undefined;
  }
}

/**
 * Whether this process is in a network namespace that was made for a container: it has interfaces, and none of them is
 * hardware, a virtual machine's virtual hardware included.
 */
export function isContainerNetwork(directory: string = "/sys/class/net"): boolean {
  try {
    const interfaces = fs.readdirSync(directory).filter((name) => name !== "lo");
    return interfaces.length > 0 && !interfaces.some((name) => fs.existsSync(`${directory}/${name}/device`));
  } catch {
    return false;
  }
}

/** Reads `/proc/PID/net/dev` (proc_pid_net(5)). @returns undefined when it is empty */
export function parseTraffic(text: string): Traffic | undefined {
  let received = 0;
  let sent = 0;
  let found = false;
  for (const line of text.split("\n")) {
    const [name, counters] = line.split(":");
    if (name === undefined || counters === undefined) continue;
    found = true;
    if (name.trim() === "lo") continue;
    const fields = counters.trim().split(/\s+/);
    received += Number(fields[0] ?? 0);
    sent += Number(fields[8] ?? 0);
  }
  return found ? { received, sent } : undefined;
}

import fs from "node:fs";
import { readKernelFile } from "../tree/proc.ts";

/** Bytes through the interfaces of a network namespace, without the loopback. */
export interface Traffic {
  readonly received: number;
  readonly sent: number;
}

/**
 * Counts what a job receives and sends. The kernel counts by network namespace, not by process, so a figure is
 * available only when the job has a namespace of its own or a container's; the latter includes the agent's stream to
 * the tracker. In the machine's own namespace, the figure would be the traffic of all processes.
 */
export class NetworkMeter {
  private namespace: string | undefined;
  private base: Traffic = { received: 0, sent: 0 };
  private counted: Traffic = { received: 0, sent: 0 };
  private containers: boolean | undefined;

  /**
   * Bytes received and sent since the first call.
   *
   * @param pid of a process of the job; when it has ended, its namespace is no longer read
   */
  read(pid: number): Traffic | undefined {
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
 * Whether this process is in a container's network namespace: one that has interfaces, none of which is hardware. The
 * virtual hardware of a virtual machine counts as hardware.
 */
export function isContainerNetwork(directory: string = "/sys/class/net"): boolean {
  try {
    const interfaces = fs.readdirSync(directory).filter((name) => name !== "lo");
    return interfaces.length > 0 && !interfaces.some((name) => fs.existsSync(`${directory}/${name}/device`));
  } catch {
    return false;
  }
}

/** Parses `/proc/PID/net/dev` (proc_pid_net(5)). @returns undefined when it is empty */
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

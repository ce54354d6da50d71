import type { ChildProcess } from "node:child_process";
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { onTestFinished } from "vitest";

/** Why a test cannot have its own network here. Undefined: it can. */
export function noNamespaces(): string | undefined {
  if (process.getuid?.() !== 0) return "only root may make network namespaces";
  for (const tool of ["ip", "iptables"]) {
    if (spawnSync(tool, ["-V"]).status !== 0) return `there is no "${tool}" here (Debian: iproute2, iptables)`;
  }
  const name = `belay-probe-${process.pid}`;
  if (spawnSync("ip", ["netns", "add", name]).status !== 0) return "this machine makes no network namespaces";
  const filters = spawnSync("ip", ["netns", "exec", name, "iptables", "-w", "-A", "INPUT", "-j", "DROP"]).status === 0;
  spawnSync("ip", ["netns", "del", name]);
  return filters ? undefined : "this machine's kernel drops no packets for iptables";
}

/** A network namespace with one link to this machine's. It is removed when the test is over. */
export class NetNamespace {
  readonly name: string;
  /** Address of this machine's end of the link. */
  readonly here: string;
  /** Address of the namespace's end. */
  readonly there: string;

  constructor() {
    const id = process.pid % 65_536;
    this.name = `belay-${id}`;
    const net = `10.${200 + (id >> 14)}.${(id >> 6) & 255}`;
    const base = (id & 63) * 4;
    this.here = `${net}.${base + 1}`;
    this.there = `${net}.${base + 2}`;
    const [near, far] = [`bl${id}a`, `bl${id}b`];
    onTestFinished(() => {
      spawnSync("ip", ["link", "del", near]);
      spawnSync("ip", ["netns", "del", this.name]);
    });
    run("ip", "netns", "add", this.name);
    run("ip", "link", "add", near, "type", "veth", "peer", "name", far, "netns", this.name);
    run("ip", "addr", "add", `${this.here}/30`, "dev", near);
    run("ip", "link", "set", near, "up");
    this.exec("ip", "addr", "add", `${this.there}/30`, "dev", far);
    this.exec("ip", "link", "set", far, "up");
    this.exec("ip", "link", "set", "lo", "up");
  }

  /** Drops the namespace's packets in these directions from now on, without an answer. */
  drop(...chains: readonly ("INPUT" | "OUTPUT")[]): void {
    for (const chain of chains)
      this.exec("iptables", "-w", "-A", chain, "!", chain === "INPUT" ? "-i" : "-o", "lo", "-j", "DROP");
  }

  /** Lets packets pass again. */
  pass(): void {
    this.exec("iptables", "-w", "-F");
  }

  /** Starts a program in the namespace. It is killed when the test is over. */
  spawn(command: string, ...args: readonly string[]): ChildProcess {
    const child = spawn("ip", ["netns", "exec", this.name, command, ...args], { stdio: ["ignore", "pipe", "pipe"] });
    onTestFinished(() => void child.kill("SIGKILL"));
    return child;
  }

  private exec(...command: readonly string[]): void {
    run("ip", "netns", "exec", this.name, ...command);
  }
}

function run(command: string, ...args: readonly string[]): void {
  execFileSync(command, args, { stdio: ["ignore", "ignore", "pipe"] });
}

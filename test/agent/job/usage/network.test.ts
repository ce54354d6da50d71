import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { isContainerNetwork, NetworkMeter, parseTraffic } from "../../../../src/agent/job/usage/network.ts";

const made: string[] = [];
afterEach(() => {
  for (const directory of made.splice(0)) fs.rmSync(directory, { recursive: true, force: true });
});

/** A directory like /sys/class/net: names of interfaces, and whether each is hardware. */
function interfaces(list: Record<string, boolean>): string {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), "belay-net-"));
  made.push(directory);
  for (const [name, hardware] of Object.entries(list)) {
    fs.mkdirSync(path.join(directory, name, hardware ? "device" : "queues"), { recursive: true });
  }
  return directory;
}

/** Makes a cable with both ends in one namespace. */
const LINK =
  "ip link add v0 type veth peer name v1 && ip link set v0 up && ip link set v1 up && ip addr add 10.9.8.1/24 brd + dev v0";

/** Why none can be made here. */
const skip = ((): string | undefined => {
  try {
    execFileSync("unshare", ["--net", "sh", "-c", LINK], { stdio: "ignore" });
    return undefined;
  } catch {
    return "needs root, unshare and ip";
  }
})();

describe("A network namespace", () => {
  it.each([
    ["a container's when there is no hardware in it", { lo: false, eth0: false }, true],
    ["the machine's when there is", { lo: false, eth0: true, docker0: false, veth1: false }, false],
    ["not available when it has no interface except the loopback", { lo: false }, false],
  ])("is %s", (_what, list, expected) => {
    expect(isContainerNetwork(interfaces(list))).toBe(expected);
  });

  it("is counted without its loopback", () => {
    const text = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo: 999999     100    0    0    0     0          0         0   999999     100    0    0    0     0       0          0
  eth0:    1000      10    0    0    0     0          0         0     2000      20    0    0    0     0       0          0
eth1:300 3 0 0 0 0 0 0 50 1 0 0 0 0 0 0
`;
    expect(parseTraffic(text)).toEqual({ received: 1300, sent: 2050 });
    expect(parseTraffic("")).toBeUndefined();
  });

  it.skipIf(skip !== undefined)(
    "of the job's own is counted from the first reading on, and its last counts stay when the job has ended",
    async () => {
      const send = `my $s = IO::Socket::INET->new(Proto => "udp", PeerAddr => "10.9.8.255:9", Broadcast => 1) or die $!; $s->send("x" x 1000) for 1 .. 50`;
      const script = `${LINK}; echo ready; read -r go; perl -MIO::Socket::INET -e '${send}'; echo sent; read -r go`;
      const child = spawn("unshare", ["--net", "sh", "-c", script], { stdio: ["pipe", "pipe", "inherit"] });
      const pid = child.pid ?? 0;
      const meter = new NetworkMeter();
      await once(child.stdout, "data");
      expect(meter.read(pid)).toEqual({ received: 0, sent: 0 });
      child.stdin.write("\n");
      await once(child.stdout, "data");
      const sent = meter.read(pid)?.sent ?? 0;
      expect(sent).toBeGreaterThan(50_000);
      const gone = once(child, "exit");
      child.stdin.write("\n");
      await gone;
      expect(meter.read(pid)?.sent).toBe(sent);
    },
  );
});

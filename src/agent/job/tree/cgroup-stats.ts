import fs from "node:fs";
import { join } from "node:path";
import { readKernelFile } from "./proc.ts";
import type { ProcessIo } from "./process-io.ts";

/**
 * Share of the last 10 s in which some process of a v2 cgroup waited, 0 to 1.
 *
 * @returns undefined when the kernel does not measure pressure
 */
export function cgroupPressure(directory: string, what: "cpu" | "memory" | "io"): number | undefined {
  const percent = /^some avg10=([\d.]+)/.exec(readKernelFile(join(directory, `${what}.pressure`)) ?? "")?.[1];
  return percent === undefined ? undefined : Number(percent) / 100;
}

/**
 * What a v2 cgroup and the cgroups below it read from and wrote to block devices.
 *
 * @returns undefined when the cgroup has no io controller
 */
export function cgroupIo(directory: string): ProcessIo | undefined {
  const text = readKernelFile(join(directory, "io.stat"));
  return text === undefined ? undefined : parseIoStat(text, isStacked);
}

/** Adds up the lines of an `io.stat`, except those of stacked devices: the devices below count the same bytes. */
export function parseIoStat(text: string, stacked: (device: string) => boolean): ProcessIo {
  let read = 0;
  let written = 0;
  for (const line of text.split("\n")) {
    const [device, ...pairs] = line.split(" ");
    if (device === undefined || pairs.length === 0 || stacked(device)) continue;
    for (const pair of pairs) {
      const [name, value] = pair.split("=");
      if (name === "rbytes") read += Number(value);
      else if (name === "wbytes") written += Number(value);
    }
  }
  return { read, written };
}

const stackedDevices = new Map<string, boolean>();

/** Whether a block device is built on others, as those of LVM and dm-crypt are. @param device `major:minor` */
function isStacked(device: string): boolean {
  let stacked = stackedDevices.get(device);
  if (stacked === undefined) {
    try {
      stacked = fs.readdirSync(`/sys/dev/block/${device}/slaves`).length > 0;
    } catch {
      stacked = false;
    }
    stackedDevices.set(device, stacked);
  }
  return stacked;
}

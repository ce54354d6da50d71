/** The query about each device. Drivers have had all of these fields since 2013. */
export const DEVICES_QUESTION =
  "--query-gpu=index,uuid,name,utilization.gpu,memory.used,memory.total,temperature.gpu,power.draw";
/** The query about processes that compute on devices. */
export const APPS_QUESTION = "--query-compute-apps=gpu_uuid,pid,used_memory";

const MIB = 1024 * 1024;

/** One device. Undefined: the device does not report the value; many report only some. */
export interface GpuDevice {
  readonly index: number;
  readonly uuid: string;
  readonly name: string;
  /** 0 to 1. */
  readonly utilization: number | undefined;
  readonly memoryUsedBytes: number | undefined;
  readonly memoryTotalBytes: number | undefined;
  readonly temperatureCelsius: number | undefined;
  readonly powerWatts: number | undefined;
}

/** One process on one device. A process on a partition of a device counts as on the device. */
export interface GpuApp {
  readonly uuid: string;
  /** Undefined: not reported. */
  readonly pid: number | undefined;
  readonly memoryBytes: number | undefined;
}

/**
 * Parses the answer to `DEVICES_QUESTION`, one device a line.
 *
 * @throws Error when the text is not empty and has no device
 */
export function parseDevices(text: string): GpuDevice[] {
  const devices: GpuDevice[] = [];
  for (const line of text.split("\n")) {
    const fields = line.trim().split(", ");
    // Only a device's name is free text. If it contains a comma, there are more fields.
    const [index, uuid] = fields;
    const [utilization, used, total, temperature, power] = fields.slice(-5).map(valueOf);
    if (fields.length < 8 || index === undefined || uuid === undefined || !/^\d+$/.test(index)) continue;
    devices.push({
      index: Number(index),
      uuid: /^[A-Z]+-/.test(uuid) ? uuid : "",
      name: fields.slice(2, -5).join(", "),
      utilization: utilization === undefined ? undefined : utilization / 100,
      memoryUsedBytes: used === undefined ? undefined : used * MIB,
      memoryTotalBytes: total === undefined ? undefined : total * MIB,
      temperatureCelsius: temperature,
      powerWatts: power,
    });
  }
  if (devices.length === 0 && text.trim() !== "") throw new Error(`no device in "${text.trim().slice(0, 200)}"`);
  return devices;
}

/** Parses the answer to `APPS_QUESTION`, one process and device a line. */
export function parseApps(text: string): GpuApp[] {
  const apps: GpuApp[] = [];
  for (const line of text.split("\n")) {
    const [uuid, pid, memory] = line.trim().split(", ");
    if (uuid === undefined || pid === undefined || !/^[A-Z]+-/.test(uuid)) continue;
    const mib = valueOf(memory);
    apps.push({ uuid, pid: valueOf(pid), memoryBytes: mib === undefined ? undefined : mib * MIB });
  }
  return apps;
}

/** A number from 0 on. Undefined for anything else: `[N/A]`, `[Not Supported]`, `[Unknown Error]`, `ERR!`. */
function valueOf(field: string | undefined): number | undefined {
  return field !== undefined && /^\d+(\.\d+)?$/.test(field) ? Number(field) : undefined;
}

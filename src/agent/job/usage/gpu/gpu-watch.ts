import { create } from "@bufbuild/protobuf";
import { sleep } from "../../../../base/clock.ts";
import { formatDuration } from "../../../../contract/durations.ts";
import { messageOf } from "../../../../base/errors.ts";
import type { Logger } from "../../../../base/logger.ts";
import { type GpuSample, GpuSampleSchema } from "../../../../gen/belay/v1/job_pb.ts";
import { seesMachinePids } from "../../tree/proc.ts";
import { NvidiaSmi, QUERY_TIMEOUT_MS } from "./nvidia-smi.ts";
import { APPS_QUESTION, DEVICES_QUESTION, type GpuApp, type GpuDevice, parseApps, parseDevices } from "./parse.ts";

/** Readings may take this share of the time: with many devices, a reading can take a second. */
const MOST_SHARE = 1 / 50;
/** Longest time between two readings that `MOST_SHARE` leads to. */
const LONGEST_PAUSE_MS = 30_000;
/** After this many failures in a row, attempts become rare. */
const MOST_FAILURES = 3;
/** Time between two attempts after that. */
const RETRY_MS = 600_000;

/** How devices are watched. Times are milliseconds. */
export interface GpuWatchOptions {
  /** Path of nvidia-smi. */
  readonly file: string;
  readonly environment: Record<string, string>;
  readonly logger: Logger;
  /** Shortest time between two readings. */
  readonly interval: number;
  /** Bounds each query. @default 10_000 */
  readonly timeout?: number;
  /** Longest time between two readings when each takes long. @default 30_000 */
  readonly longestPause?: number;
  /** Time between two attempts after several failures. @default 600_000 */
  readonly retryInterval?: number;
}

interface Reading {
  readonly devices: readonly GpuDevice[];
  /** Undefined: not known. */
  readonly apps: readonly GpuApp[] | undefined;
  /** When the next reading must be there, if all is well. Monotonic clock. */
  readonly staleAt: number;
}

/** Reads the machine's NVIDIA devices repeatedly, at its own pace; callers get the last reading. */
export class GpuWatch {
  private readonly options: GpuWatchOptions;
  private readonly program: NvidiaSmi;
  private readonly over = new AbortController();
  private readonly running: Promise<void>;
  private reading: Reading | undefined;
  private worked = false;

  constructor(options: GpuWatchOptions) {
    this.options = options;
    this.program = new NvidiaSmi(options.file, options.environment, options.timeout);
    this.running = this.run();
  }

  /**
   * The last reading; empty if it is missing or too old.
   *
   * @param pids the job's processes
   */
  latest(pids: readonly number[]): GpuSample[] {
    const { reading } = this;
    if (reading === undefined || performance.now() > reading.staleAt) return [];
    return reading.devices.map((device) => toSample(device, reading.apps, pids));
  }

  /** Resolves when no process of nvidia-smi is left, within about a second. */
  async close(): Promise<void> {
    this.over.abort();
    await this.program.close();
    await this.running;
  }

  private async run(): Promise<void> {
    const { interval, timeout = QUERY_TIMEOUT_MS, retryInterval = RETRY_MS } = this.options;
    const { longestPause = LONGEST_PAUSE_MS } = this.options;
    const { signal } = this.over;
    let failures = 0;
    while (!signal.aborted) {
      const start = performance.now();
      let pause = interval;
      try {
        const { devices, apps } = await this.read();
        const end = performance.now();
        pause = Math.max(interval, Math.min((end - start) / MOST_SHARE, longestPause));
        this.reading = { devices, apps, staleAt: end + pause + 2 * timeout };
        this.worked = true;
        failures = 0;
        // A machine without devices does not get one while the job runs.
        if (devices.length === 0) return;
      } catch (error) {
        failures += 1;
        if (failures >= MOST_FAILURES) pause = retryInterval;
        if (failures === MOST_FAILURES && !signal.aborted) this.reportFailure(error, retryInterval);
      }
      await sleep(pause, signal);
    }
  }

  private async read(): Promise<{ devices: GpuDevice[]; apps: GpuApp[] | undefined }> {
    const devices = parseDevices(await this.program.query(DEVICES_QUESTION));
    // The driver uses the machine's pids. In a container, the job's pids are different numbers.
    if (devices.length === 0 || !seesMachinePids()) return { devices, apps: undefined };
    return { devices, apps: parseApps(await this.program.query(APPS_QUESTION)) };
  }

  /** Called once each time that reading stops to work. A warning only if it has ever worked on this machine. */
  private reportFailure(error: unknown, retryInterval: number): void {
    const { logger, file } = this.options;
    const message = `Cannot read GPUs with "${file}"; the next attempt is in ${formatDuration(retryInterval)}`;
    logger[this.worked ? "warn" : "info"](message, { error: messageOf(error) });
  }
}

function toSample(device: GpuDevice, apps: readonly GpuApp[] | undefined, pids: readonly number[]): GpuSample {
  const jobs = apps === undefined ? undefined : jobMemory(device, apps, pids);
  return create(GpuSampleSchema, {
    index: device.index,
    uuid: device.uuid,
    name: device.name,
    memoryUsedBytes: BigInt(Math.round(device.memoryUsedBytes ?? 0)),
    memoryTotalBytes: BigInt(Math.round(device.memoryTotalBytes ?? 0)),
    ...(device.utilization !== undefined && { utilization: device.utilization }),
    ...(jobs !== undefined && { jobMemoryBytes: BigInt(Math.round(jobs)) }),
    ...(device.temperatureCelsius !== undefined && { temperatureCelsius: device.temperatureCelsius }),
    ...(device.powerWatts !== undefined && { powerWatts: device.powerWatts }),
  });
}

/** Undefined when the device does not report the memory of one of the job's processes, or does not report pids. */
function jobMemory(device: GpuDevice, apps: readonly GpuApp[], pids: readonly number[]): number | undefined {
  let sum = 0;
  for (const app of apps) {
    if (app.uuid !== device.uuid || (app.pid !== undefined && !pids.includes(app.pid))) continue;
    if (app.pid === undefined || app.memoryBytes === undefined) return undefined;
    sum += app.memoryBytes;
  }
  return sum;
}

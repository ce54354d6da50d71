import { create } from "@bufbuild/protobuf";
import { sleep } from "../../../../base/clock.ts";
import { formatDuration } from "../../../../base/durations.ts";
import { messageOf } from "../../../../base/errors.ts";
import type { Logger } from "../../../../base/logger.ts";
import { type GpuSample, GpuSampleSchema } from "../../../../gen/belay/v1/job_pb.ts";
import { seesMachinePids } from "../../tree/proc.ts";
import { NvidiaSmi, QUERY_TIMEOUT_MS } from "./nvidia-smi.ts";
import { APPS_QUESTION, DEVICES_QUESTION, type GpuApp, type GpuDevice, parseApps, parseDevices } from "./parse.ts";

/** A reading takes at most this share of the time between two of them: with many devices it can take a second. */
const MOST_SHARE = 1 / 50;
/** Longest time between two readings that this leads to. */
const LONGEST_PAUSE_MS = 30_000;
/** So many failures in a row, and it is only tried now and then. */
const MOST_FAILURES = 3;
/** How often it is tried then. */
const RETRY_MS = 600_000;

/** How devices are watched. Times are milliseconds. */
export interface GpuWatchOptions {
  /** Path of nvidia-smi. */
  readonly file: string;
  readonly environment: Record<string, string>;
  readonly logger: Logger;
  /** Time between two readings, at least. */
  readonly interval: number;
  /** Bounds each query. @default 10_000 */
  readonly timeout?: number;
  /** Longest time between two readings because they take long. @default 30_000 */
  readonly longestPause?: number;
  /** @default 600_000 */
  readonly retryInterval?: number;
}

interface Reading {
  readonly devices: readonly GpuDevice[];
  /** Undefined: not known. */
  readonly apps: readonly GpuApp[] | undefined;
  /** By the monotonic clock: when the next one is there at the latest, if all is well. */
  readonly staleAt: number;
}

/** Reads the machine's NVIDIA devices again and again, at its own pace: whoever wants to know takes the last reading. */
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
   * The last reading, if it is no older than it may be.
   *
   * @param pids the job's processes
   */
  latest(pids: readonly number[]): GpuSample[] {
    const { reading } = this;
    if (reading === undefined || performance.now() > reading.staleAt) return [];
    return reading.devices.map((device) => toSample(device, reading.apps, pids));
  }

  /** Resolves when no process of it is left, within about a second. */
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
        // A machine without devices gets none while the job runs.
        if (devices.length === 0) return;
      } catch (error) {
        failures += 1;
        if (failures >= MOST_FAILURES) pause = retryInterval;
        if (failures === MOST_FAILURES && !signal.aborted) this.giveUp(error, retryInterval);
      }
      await sleep(pause, signal);
    }
  }

  private async read(): Promise<{ devices: GpuDevice[]; apps: GpuApp[] | undefined }> {
    const devices = parseDevices(await this.program.query(DEVICES_QUESTION));
    // The driver tells processes by the machine's numbers: in a container, those of the job mean others.
    if (devices.length === 0 || !seesMachinePids()) return { devices, apps: undefined };
    return { devices, apps: parseApps(await this.program.query(APPS_QUESTION)) };
  }

  /** Said once for each time that it stops to work. On a machine where it never did, it is hardly worth a word. */
  private giveUp(error: unknown, retryInterval: number): void {
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

/** Undefined when the device does not say it of one of the job's processes, or not which they are. */
function jobMemory(device: GpuDevice, apps: readonly GpuApp[], pids: readonly number[]): number | undefined {
  let sum = 0;
  for (const app of apps) {
    if (app.uuid !== device.uuid || (app.pid !== undefined && !pids.includes(app.pid))) continue;
    if (app.pid === undefined || app.memoryBytes === undefined) return undefined;
    sum += app.memoryBytes;
  }
  return sum;
}

import { systemClock, type Timer } from "../../../../base/clock.ts";
import type { GpuSample } from "../../../../gen/belay/v1/job_pb.ts";
import { helperEnvironment } from "../../start/environment.ts";
import { findNvidiaSmi } from "./find.ts";
import type { GpuWatch, GpuWatchOptions } from "./gpu-watch.ts";

/** Delay after which the search begins, so that it does not slow down the start of the job. */
const START_AFTER_MS = 20;

/**
 * The machine's graphics processors, if nvidia-smi can read any. On a machine without them it costs one search of the
 * PATH. It costs nothing before the job has started.
 */
export class GpuSource {
  private readonly options: Omit<GpuWatchOptions, "file">;
  private timer: Timer | undefined;
  private opening: Promise<void> | undefined;
  private watch: GpuWatch | undefined;
  private closed = false;

  /** @param options an `interval` of 0 turns it off */
  constructor(options: Omit<GpuWatchOptions, "file">) {
    this.options = options;
  }

  /** Starts to read after a short delay. A second call has no effect. */
  start(): void {
    if (this.options.interval === 0 || this.closed) return;
    this.timer ??= systemClock.after(START_AFTER_MS, () => {
      this.opening = this.open();
    });
  }

  /** The last reading; empty if it is missing or too old. @param pids the job's processes */
  latest(pids: readonly number[]): GpuSample[] {
    return this.watch?.latest(pids) ?? [];
  }

  /** Resolves when no process of nvidia-smi is left, within about a second. */
  async close(): Promise<void> {
    this.closed = true;
    this.timer?.cancel();
    await this.opening;
    await this.watch?.close();
  }

  private async open(): Promise<void> {
    const file = findNvidiaSmi(this.options.environment["PATH"] ?? "");
    if (file === undefined) return;
    const { GpuWatch } = await import("./gpu-watch.ts");
    if (!this.closed) this.watch = new GpuWatch({ ...this.options, file });
  }
}

/** The variables that nvidia-smi needs: on some clusters only LD_LIBRARY_PATH leads to the driver's libraries. */
export function gpuEnvironment(base: Readonly<Record<string, string | undefined>>): Record<string, string> {
  const libraries = base["LD_LIBRARY_PATH"];
  return { ...helperEnvironment(base), ...(libraries === undefined ? {} : { LD_LIBRARY_PATH: libraries }) };
}

import type { ServiceImpl } from "@connectrpc/connect";
import { Code, ConnectError } from "@connectrpc/connect";
import type { Clock, Timer } from "../base/clock.ts";
import type { Health } from "../gen/grpc/health/v1/health_pb.ts";
import { HealthCheckResponse_ServingStatus as Status } from "../gen/grpc/health/v1/health_pb.ts";
import { Keepalive } from "../base/network/keepalive.ts";
import { CallScope, Wakeup } from "../base/wakeup.ts";
import type { Readiness } from "./readiness.ts";

const SERVICES: readonly string[] = ["", "belay.v1.TrackerService", "belay.v1.JobService"];
/** Time between two checks while a client watches. Milliseconds. */
const LOOK_EVERY_MS = 1000;

/** Readiness, answered as grpc.health.v1. */
export class HealthService {
  private readonly readiness: Readiness;
  private readonly clock: Clock;
  private readonly watchers = new Set<Wakeup>();
  private readonly keepaliveInterval: number;
  private timer: Timer | undefined;

  /** @param keepaliveInterval milliseconds after which a status that stays is sent again. 0: never */
  constructor(readiness: Readiness, clock: Clock, keepaliveInterval: number) {
    this.readiness = readiness;
    this.clock = clock;
    this.keepaliveInterval = keepaliveInterval;
  }

  /** The tracker stops: clients that watch are notified at once. */
  stop(): void {
    this.readiness.stop();
    this.timer?.cancel();
    for (const watcher of this.watchers) watcher.notify();
  }

  get implementation(): ServiceImpl<typeof Health> {
    return {
      check: async ({ service }) => {
        if (!SERVICES.includes(service)) throw new ConnectError(`No service "${service}" here`, Code.NotFound);
        return { status: await this.statusOf(service) };
      },
      watch: (request, { signal }) => this.watch(request.service, signal),
    };
  }

  private async *watch(service: string, signal: AbortSignal): AsyncGenerator<{ status: Status }, void> {
    using scope = new CallScope(signal);
    const watcher = new Wakeup();
    this.watchers.add(watcher);
    this.check();
    scope.defer(() => {
      this.watchers.delete(watcher);
      watcher.notify();
    });
    const keepalive = new Keepalive(this.clock, this.keepaliveInterval);
    for (let sent: Status | undefined; ; ) {
      const status = await this.statusOf(service);
      scope.check();
      if (status === sent && !keepalive.isDue) {
        await watcher.wait(keepalive);
        continue;
      }
      sent = status;
      yield { status };
      keepalive.sent();
    }
  }

  /** Has watches look again from time to time, while there are any. */
  private check(): void {
    this.timer ??= this.clock.after(LOOK_EVERY_MS, () => {
      this.timer = undefined;
      for (const watcher of this.watchers) watcher.notify();
      if (this.watchers.size > 0 && this.readiness.isServing) this.check();
    });
  }

  private async statusOf(service: string): Promise<Status> {
    if (!SERVICES.includes(service)) return Status.SERVICE_UNKNOWN;
    return (await this.readiness.why()) === undefined ? Status.SERVING : Status.NOT_SERVING;
  }
}

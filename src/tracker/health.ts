import type { ServiceImpl } from "@connectrpc/connect";
import { Code, ConnectError } from "@connectrpc/connect";
import type { Health } from "../gen/grpc/health/v1/health_pb.ts";
import { HealthCheckResponse_ServingStatus as Status } from "../gen/grpc/health/v1/health_pb.ts";
import type { Clock } from "../base/clock.ts";
import { Keepalive } from "../base/keepalive.ts";
import { CallScope, Wakeup } from "../base/wakeup.ts";

const SERVICES: readonly string[] = ["", "belay.v1.TrackerService", "belay.v1.JobService"];

/** Whether the tracker takes calls, for probes: grpc.health.v1 and `/healthz`. */
export class HealthState {
  private serving = true;
  private readonly watchers = new Set<Wakeup>();
  private readonly clock: Clock;
  private readonly keepaliveInterval: number;

  /** @param keepaliveInterval milliseconds after which a status that stays is sent again. 0: never */
  constructor(clock: Clock, keepaliveInterval: number) {
    this.clock = clock;
    this.keepaliveInterval = keepaliveInterval;
  }

  get isServing(): boolean {
    return this.serving;
  }

  /** The tracker stops. */
  stop(): void {
    this.serving = false;
    for (const watcher of this.watchers) watcher.notify();
  }

  get implementation(): ServiceImpl<typeof Health> {
    return {
      check: ({ service }) => {
        if (!SERVICES.includes(service)) throw new ConnectError(`No service "${service}" here`, Code.NotFound);
        return { status: this.statusOf(service) };
      },
      watch: (request, { signal }) => this.watch(request.service, signal),
    };
  }

  private async *watch(service: string, signal: AbortSignal): AsyncGenerator<{ status: Status }, void> {
    using scope = new CallScope(signal);
    const watcher = new Wakeup();
    this.watchers.add(watcher);
    scope.defer(() => {
      this.watchers.delete(watcher);
      watcher.notify();
    });
    const keepalive = new Keepalive(this.clock, this.keepaliveInterval);
    for (let sent: Status | undefined; ; ) {
      scope.check();
      const status = this.statusOf(service);
      if (status === sent && !keepalive.isDue) {
        await watcher.wait(keepalive);
        continue;
      }
      sent = status;
      yield { status };
      keepalive.sent();
    }
  }

  private statusOf(service: string): Status {
    if (!SERVICES.includes(service)) return Status.SERVICE_UNKNOWN;
    return this.serving ? Status.SERVING : Status.NOT_SERVING;
  }
}

import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { Clock } from "../../base/clock.ts";
import { type Event, EventSchema, OpenSessionRequestSchema } from "../../gen/belay/v1/tracker_service_pb.ts";
import type { Spool } from "./spool.ts";

/** Events that may wait for delivery before samples are left out: hours of them at the usual interval. */
const SAMPLES_LIMIT = 5000;
/** The same for the job's own metrics, which are sent less often the more events wait: see job-metrics/pace.ts. */
const JOB_METRICS_LIMIT = 10_000;

/** Makes the lane of events: numbers and encodes each as it happens. */
export class EventWriter {
  private readonly spool: Spool;
  private readonly clock: Clock;

  constructor(spool: Spool, clock: Clock) {
    this.spool = spool;
    this.clock = clock;
  }

  /** @returns false when the event is left out */
  push(kind: Event["kind"]): boolean {
    // What the job uses is a gauge, not history: while the tracker is away for days, samples must not push out the rest.
    if (kind.case === "metricSample" && this.waiting > SAMPLES_LIMIT) return false;
    if (kind.case === "jobMetrics" && this.waiting > JOB_METRICS_LIMIT) return false;
    const event = create(EventSchema, {
      sequence: BigInt(this.spool.nextSequence("events")),
      eventTime: timestampFromMs(this.clock.unixMs()),
      kind,
    });
    const request = create(OpenSessionRequestSchema, { payload: { case: "event", value: event } });
    this.spool.push("events", Buffer.from(toBinary(OpenSessionRequestSchema, request)), {
      result: kind.case === "result",
    });
    return true;
  }

  /** Events that the tracker has not committed. */
  get waiting(): number {
    return this.spool.nextSequence("events") - 1 - this.spool.committed("events");
  }
}

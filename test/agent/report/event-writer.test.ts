import { create } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { Report } from "../../../src/agent/report/report.ts";
import { Mask } from "../../../src/agent/report/redact/mask.ts";
import { systemClock } from "../../../src/base/clock.ts";
import { JobMetricsSchema, JobState, MetricSampleSchema } from "../../../src/gen/belay/v1/job_pb.ts";

it("measurements do not displace other events while the tracker is away: samples are left out first, the job's own metrics next", () => {
  const report = new Report(systemClock, new Mask());
  const sample = (): boolean => report.event({ case: "metricSample", value: create(MetricSampleSchema) });
  const ownMetrics = (): boolean => report.event({ case: "jobMetrics", value: create(JobMetricsSchema) });
  while (sample());
  expect(report.eventsWaiting).toBe(5001);
  while (ownMetrics());
  expect(report.eventsWaiting).toBe(10_001);
  report.state(JobState.RUNNING, "");
  expect(report.eventsWaiting).toBe(10_002);
  report.spool.ack("events", 10_002);
  expect([sample(), ownMetrics()]).toEqual([true, true]);
});

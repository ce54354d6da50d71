import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { JobSchema, JobState } from "../../../src/gen/belay/v1/job_pb.ts";
import { EventSchema } from "../../../src/gen/belay/v1/tracker_service_pb.ts";
import { LiveJob } from "../../../src/tracker/jobs/live-job.ts";
import { JobValues, MAX_JOBS } from "../../../src/tracker/otel/job-values.ts";

function aJob(state: JobState, key = 1): LiveJob {
  const job = create(JobSchema, { jobId: `j${key}`, state, attempts: [{ attempt: 1 }] });
  return new LiveJob({ key, job, resumeState: state, events: new Map(), commands: [], traceNotes: "" });
}

function says(values: JobValues, live: LiveJob, name: string, value: number): void {
  const event = create(EventSchema, { kind: { case: "jobMetrics", value: { metrics: [{ name, value }] } } });
  values.record(live, { event: { attempt: 1, event }, keepsVersion: true });
}

function ends(values: JobValues, live: LiveJob): void {
  live.job.state = JobState.SUCCEEDED;
  values.record(live, { event: { attempt: 1, event: create(EventSchema, { kind: { case: "result", value: {} } }) } });
}

describe("An export of usage", () => {
  it("has only jobs that run, and at most a thousand of them", () => {
    const values = new JobValues();
    const running = Array.from({ length: MAX_JOBS + 7 }, (_, key) => aJob(JobState.RUNNING, key));
    const others = [JobState.PENDING, JobState.LOST, JobState.SUCCEEDED].map((state) => aJob(state));
    expect(values.next([...others, ...running])).toHaveLength(MAX_JOBS);
    expect(values.leftOut).toBe(7);
    expect(values.next([...others, ...running.slice(0, 2)])).toEqual(running.slice(0, 2));
    expect(values.leftOut).toBe(0);
  });

  it("has a job that has ended one last time, with its own metrics, and then no longer", () => {
    const values = new JobValues();
    const live = aJob(JobState.RUNNING);
    says(values, live, "loss", 0.5);
    ends(values, live);
    values.forget();
    expect(values.next([])).toEqual([live]);
    expect(values.ownOf(live).get("loss")?.value).toBe(0.5);
    values.forget();
    expect(values.ownOf(live).size).toBe(0);
    expect(values.next([])).toEqual([]);
  });

  it("has the names that a job used first, with their latest values", () => {
    const values = new JobValues();
    const live = aJob(JobState.RUNNING);
    for (let i = 0; i < 300; i++) says(values, live, `n${i}`, i);
    says(values, live, "n7", -7);
    expect(values.ownOf(live).size).toBe(100);
    expect(values.ownOf(live).get("n7")?.value).toBe(-7);
  });

  it("discards the values of jobs whose changes could not be stored", () => {
    const values = new JobValues();
    const live = aJob(JobState.RUNNING);
    says(values, live, "loss", 0.5);
    live.abandoned = true;
    values.forget();
    expect(values.ownOf(live).size).toBe(0);
  });
});

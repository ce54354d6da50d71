import type { JobRow } from "../../../src/cli/top/row.ts";
import { JobState } from "../../../src/gen/belay/v1/job_pb.ts";

/** Noon of a day, in milliseconds. */
export const NOON: number = Date.parse("2026-11-22T12:00:00Z");

/** A job that has been running for a minute. */
export function someRow(fields: Partial<JobRow> = {}): JobRow {
  return {
    jobId: "train-17",
    name: "",
    state: JobState.RUNNING,
    labels: {},
    version: 1n,
    createMs: NOON - 61_000,
    startMs: NOON - 60_000,
    endMs: undefined,
    host: "worker-1",
    attempt: 1,
    attempts: "",
    connected: true,
    heardMs: NOON - 2_000,
    cpuCores: undefined,
    cpuLimit: 0,
    memoryBytes: undefined,
    memoryLimit: 0,
    gpu: undefined,
    progress: undefined,
    points: [],
    output: { stdout: 0, stderr: 0 },
    remark: "",
    unwell: false,
    ...fields,
  };
}

import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { Job } from "../../gen/belay/v1/job_pb.ts";
import { JobStateSchema } from "../../gen/belay/v1/job_pb.ts";
import type { JobFilter } from "../../gen/belay/v1/job_service_pb.ts";

const STATES = JobStateSchema.values.slice(1);

/**
 * Checks a filter. An unknown condition must be refused: without it, the filter would match all jobs, or none.
 *
 * @returns field, rule and what was found; undefined if nothing is wrong
 */
export function filterProblem(filter: JobFilter | undefined): string | undefined {
  const strange = filter?.states.find((state) => !STATES.some(({ number }) => number === state));
  if (strange === undefined) return undefined;
  return `filter.states has ${strange}: expected ${STATES.map(({ name, number }) => `${name} (${number})`).join(", ")}`;
}

/** Whether a job passes a filter. */
export function matches(job: Job, filter: JobFilter | undefined): boolean {
  if (filter === undefined) return true;
  const { states, labels, name, createTimeFrom, createTimeTo } = filter;
  const created = job.createTime === undefined ? 0 : timestampMs(job.createTime);
  return (
    (states.length === 0 || states.includes(job.state)) &&
    (name === "" || job.spec?.name === name) &&
    (createTimeFrom === undefined || created >= timestampMs(createTimeFrom)) &&
    (createTimeTo === undefined || created < timestampMs(createTimeTo)) &&
    Object.entries(labels).every(([key, value]) => job.spec?.labels[key] === value)
  );
}

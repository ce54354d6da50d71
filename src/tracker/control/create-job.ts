import { Code, ConnectError } from "@connectrpc/connect";
import { create, equals } from "@bufbuild/protobuf";
import { idProblem, shortId } from "../../base/ids.ts";
import type { Job, JobSpec } from "../../gen/belay/v1/job_pb.ts";
import { JobSpecSchema } from "../../gen/belay/v1/job_pb.ts";
import type { CreateJobRequest } from "../../gen/belay/v1/job_service_pb.ts";
import type { Specs } from "../jobs/registry.ts";
import { snapshotOf } from "../jobs/shown/snapshot.ts";
import { specProblem } from "../jobs/spec.ts";
import type { ControlContext } from "./context.ts";
import { check, invalid } from "./context.ts";

/** Registers a job with the spec of the request, or with that of another job. */
export async function createJob(context: ControlContext, request: CreateJobRequest): Promise<Job> {
  const { registry, specBytes } = context;
  const { jobId } = request;
  const wrongId = jobId === "" ? undefined : idProblem(jobId);
  check(wrongId === undefined ? undefined : `job_id ${wrongId}`);
  const specs = request.likeJobId === "" ? given(request) : await like(context, request);
  const { spec } = specs;
  check(specProblem(spec, specBytes));
  const [live, isNew] = await registry.create(jobId === "" ? shortId() : jobId, specs, "waits");
  if (!isNew && !isSame(live.job.spec, spec)) {
    throw new ConnectError(`Job "${live.id}" exists with another spec`, Code.AlreadyExists);
  }
  return snapshotOf(live);
}

function given({ spec }: CreateJobRequest): Specs {
  if (spec === undefined) throw invalid("spec is absent: expected the command to run, or like_job_id");
  return { spec };
}

/** The spec of another job, secrets included, but without the trace of the submitter of that job. */
async function like({ registry }: ControlContext, { jobId, likeJobId, spec: own }: CreateJobRequest): Promise<Specs> {
  if (own !== undefined) throw invalid("spec is set, and so is like_job_id: expected one of them");
  const problem = idProblem(likeJobId);
  check(problem === undefined ? undefined : `like_job_id ${problem}`);
  if (likeJobId === jobId) throw invalid(`like_job_id "${likeJobId}" is also the job_id: expected another job`);
  const { spec, shownSpec } = (await registry.get(likeJobId)).job;
  if (spec === undefined) throw new ConnectError(`Job "${likeJobId}" has no spec`, Code.Internal);
  return { spec: withoutTrace(spec), shownSpec: shownSpec && withoutTrace(shownSpec) };
}

function withoutTrace(spec: JobSpec): JobSpec {
  return create(JobSpecSchema, { ...spec, traceParent: "", traceState: "" });
}

/** Whether two specs are equal but for the trace: a repeated call has another span, and that of the first one counts. */
function isSame(stored: JobSpec | undefined, spec: JobSpec): boolean {
  if (stored === undefined) return false;
  const { traceParent, traceState } = stored;
  return equals(JobSpecSchema, stored, create(JobSpecSchema, { ...spec, traceParent, traceState }));
}

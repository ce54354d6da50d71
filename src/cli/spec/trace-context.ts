import { isTraceState, parseTraceParent } from "../../base/trace-context.ts";
import type { JobSpec } from "../../gen/belay/v1/job_pb.ts";
import type { Io } from "../process/io.ts";
import { clean } from "../render/clean.ts";

/** Adds the trace of this command's environment to a spec without one. A trace that cannot be used is left out. */
export async function takeTraceContext(spec: JobSpec, { env, stderr }: Pick<Io, "env" | "stderr">): Promise<void> {
  const parent = env["TRACEPARENT"] ?? "";
  if (parent === "" || spec.traceParent !== "") return;
  if (parseTraceParent(parent) === undefined) {
    const shown = clean(parent.length > 80 ? `${parent.slice(0, 80)}…` : parent);
    await stderr.write(`belay: Ignored TRACEPARENT "${shown}": expected a W3C traceparent\n`);
    return;
  }
  spec.traceParent = parent;
  const state = env["TRACESTATE"] ?? "";
  if (isTraceState(state)) spec.traceState = state;
}

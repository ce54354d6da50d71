import { availableParallelism, hostname, totalmem } from "node:os";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { VERSION } from "../base/version.ts";
import { type AgentInfo, AgentInfoSchema, type Containment } from "../gen/belay/v1/job_pb.ts";

/** The agent and its machine, as the tracker shows them. */
export function agentInfo(
  labels: Record<string, string>,
  held: { containment: Containment; message: string },
): AgentInfo {
  const limit = process.constrainedMemory();
  return create(AgentInfoSchema, {
    version: VERSION,
    hostname: hostname(),
    os: process.platform,
    arch: process.arch,
    pid: process.pid,
    cpus: availableParallelism(),
    // 0 and absurdly high values both mean that no cgroup sets a limit.
    memoryBytes: BigInt(limit > 0 && limit < totalmem() ? limit : totalmem()),
    labels,
    containment: held.containment,
    containmentMessage: held.message,
    startTime: timestampFromMs(Math.round(performance.timeOrigin)),
  });
}

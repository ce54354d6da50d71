import type { JobState, StreamTotals } from "../../gen/belay/v1/job_pb.ts";
import type { Spool } from "../report/spool.ts";
import type { SessionHealth } from "../session/session-options.ts";

/** The facts that an agent's pages show. They are read only when a page is requested. */
export interface AgentFacts {
  readonly jobId: string;
  readonly spool: Pick<Spool, "nextSequence" | "committed" | "memoryBytes" | "diskBytes" | "full">;
  jobState(): JobState;
  session(): SessionHealth;
  /** What the job has printed so far. */
  streams(): StreamTotals[];
}

import { create } from "@bufbuild/protobuf";
import { onTestFinished } from "vitest";
import { Report } from "../../src/agent/report/report.ts";
import { Mask } from "../../src/agent/report/redact/mask.ts";
import type { TransportSecurity } from "../../src/agent/options.ts";
import { Session } from "../../src/agent/session/session.ts";
import { SESSION_TIMING, type SessionTiming } from "../../src/agent/session/session-timing.ts";
import { systemClock } from "../../src/base/clock.ts";
import { silentLogger } from "../../src/base/logger.ts";
import { parseTrackerAddresses } from "../../src/base/network/tracker-address.ts";
import { AgentInfoSchema, JobSpecSchema, JobState } from "../../src/gen/belay/v1/job_pb.ts";
import { Queue } from "../helpers/queue.ts";

/** A real session without a job, and its events. */
export interface SomeSession {
  readonly session: Session;
  readonly report: Report;
  /** `connected`, `connected again`, `lost: why`, `command id`, `fenced: why`, in order. */
  readonly events: Queue<string>;
}

/** Makes a session that is not started yet; it is closed when the test is over. */
export function someSession(
  address: string,
  options: {
    connectTimeout?: number;
    jobId?: string;
    security?: TransportSecurity;
    timing?: Partial<SessionTiming>;
  } = {},
): SomeSession {
  const report = new Report(systemClock, new Mask());
  const events = new Queue<string>();
  const timing = { ...SESSION_TIMING, ...options.timing };
  const session = new Session(
    {
      identity: {
        sessionId: crypto.randomUUID(),
        jobId: options.jobId ?? "j1",
        agent: create(AgentInfoSchema, { version: "test" }),
        spec: create(JobSpecSchema, { command: ["true"] }),
      },
      addresses: parseTrackerAddresses(address),
      security: options.security ?? {},
      connectTimeout: options.connectTimeout ?? 20_000,
      spool: report.spool,
      clock: systemClock,
      logger: silentLogger,
      handlers: {
        jobState: () => JobState.RUNNING,
        command: (command) => events.push(`command ${command.commandId}`),
        connected: (_, first) => events.push(first ? "connected" : "connected again"),
        lost: (why) => events.push(`lost: ${why}`),
        fenced: (message) => events.push(`fenced: ${message}`),
      },
    },
    timing,
  );
  onTestFinished(() => session.close("The test is over"));
  return { session, report, events };
}

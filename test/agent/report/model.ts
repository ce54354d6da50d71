import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create, fromBinary } from "@bufbuild/protobuf";
import { expect, onTestFinished } from "vitest";
import { openSpool, type OpenSpoolOptions } from "../../../src/agent/report/disk/open.ts";
import { type RecoveredSpool, recoverSpool } from "../../../src/agent/report/disk/recover.ts";
import { SlabPool } from "../../../src/agent/report/frame.ts";
import { addData, addGap, type LogSums, noSums, streamTotals, sumsOf } from "../../../src/agent/report/log-sums.ts";
import type { LaneSpool } from "../../../src/agent/report/lane-spool.ts";
import type { Spool } from "../../../src/agent/report/spool.ts";
import { AgentInfoSchema, type LogStream, type StreamTotals } from "../../../src/gen/belay/v1/job_pb.ts";
import { type Event, GapReason, OpenSessionRequestSchema } from "../../../src/gen/belay/v1/tracker_service_pb.ts";

/** A directory that is gone after the test. */
export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "belay-spool-"));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** Session of the spools that tests make. */
export const SESSION = "0198-session";

/** A spool on disk, as the agent would make it. */
export function diskSpool(
  directory: string,
  options: Partial<OpenSpoolOptions> = {},
): { spool: LaneSpool; pool: SlabPool; path: string; troubles: string[] } {
  const pool = new SlabPool();
  const troubles: string[] = [];
  const identity = { sessionId: SESSION, jobId: "j1", agent: create(AgentInfoSchema, { version: "test" }) };
  const spool = openSpool({ directory, identity, pool, onTrouble: (text) => troubles.push(text), ...options });
  return { spool, pool, path: join(directory, SESSION), troubles };
}

/** A spool that was left behind. */
export async function opened(path: string): Promise<RecoveredSpool> {
  const recovered = await recoverSpool(path);
  if (recovered === undefined) throw new Error(`Expected "${path}" to be free`);
  return recovered;
}

/** Takes records as a tracker does, and fails where one would. */
export class ModelTracker {
  readonly events: Event[] = [];
  readonly data: Map<LogStream, Buffer[]> = new Map();
  readonly gaps: { stream: LogStream; step: number; offset: number; bytes: number; reason: GapReason }[] = [];
  /** Sequence up to which it has the logs. */
  logs: number;
  eventsTaken: number;
  /** Takes a hole between two chunks for a gap, as the tracker does. */
  acceptsHoles = false;
  private readonly sums: LogSums = noSums();

  constructor(after: { events: number; logs: number } = { events: 0, logs: 0 }) {
    this.logs = after.logs;
    this.eventsTaken = after.events;
  }

  /** Takes a record; one that it has is checked for its sequence only. */
  take(frame: Buffer): void {
    const { payload } = fromBinary(OpenSessionRequestSchema, frame);
    if (payload.case === "event") {
      expect(Number(payload.value.sequence)).toBe(this.eventsTaken + 1);
      this.eventsTaken++;
      this.events.push(payload.value);
      return;
    }
    if (payload.case !== "logBatch") throw new Error(`Expected a record, got ${payload.case}`);
    expect(Number(payload.value.sequence)).toBe(this.logs + 1);
    this.logs++;
    for (const { stream, step, offset, content } of payload.value.chunks) {
      const sums = sumsOf(this.sums, stream);
      const missing = Number(offset) - sums.bytes;
      if (missing > 0 && this.acceptsHoles) {
        this.gaps.push({ stream, step, offset: sums.bytes, bytes: missing, reason: GapReason.UNSPECIFIED });
        addGap(sums, missing);
      }
      expect(Number(offset)).toBe(sums.bytes);
      if (content.case === "data") {
        addData(sums, content.value);
        this.data.set(stream, [...(this.data.get(stream) ?? []), Buffer.from(content.value)]);
      } else if (content.case === "gap") {
        const { bytes, reason } = content.value;
        this.gaps.push({ stream, step, offset: Number(offset), bytes: Number(bytes), reason });
        addGap(sums, Number(bytes));
      }
    }
  }

  /** Takes all that a spool holds beyond what it has. */
  async takeAll(spool: Spool): Promise<void> {
    for (;;) {
      const event = spool.read("events", this.eventsTaken + 1);
      if (event === undefined) break;
      this.take(await event);
    }
    for (;;) {
      const log = spool.read("logs", this.logs + 1);
      if (log === undefined) break;
      this.take(await log);
    }
  }

  bytesOf(stream: LogStream): Buffer {
    return Buffer.concat(this.data.get(stream) ?? []);
  }

  totals(): StreamTotals[] {
    return streamTotals(this.sums);
  }
}

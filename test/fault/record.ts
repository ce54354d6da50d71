import { appendFileSync } from "node:fs";

/** Effects of a fault, for the table in docs/faults.md. Times are milliseconds. */
export interface FaultRecord {
  readonly fault: string;
  /** From the fault until the agent noticed it. */
  readonly noticed?: number;
  /** From the fault's end (or the fault, if it has none) until a stream was open again. */
  readonly recovered?: number;
  /** Bytes of the log that the tracker did not get. Absent: there was no job, or its log was not compared. */
  readonly bytesLost?: number;
  /** Processes of the job that were harmed. Absent: as above. */
  readonly harmed?: number;
  readonly remark?: string;
}

/** Adds a line to the file that BELAY_FAULT_TABLE names, if it is set: test/fault/table.ts makes a table of it. */
export function record(fault: FaultRecord): void {
  const path = process.env["BELAY_FAULT_TABLE"];
  if (path !== undefined && path !== "") appendFileSync(path, `${JSON.stringify(fault)}\n`);
}

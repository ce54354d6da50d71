import fs from "node:fs";
import { join } from "node:path";
import { fromJson, type JsonValue, toJson } from "@bufbuild/protobuf";
import { BelayError, messageOf } from "../../../base/errors.ts";
import { type AgentInfo, AgentInfoSchema } from "../../../gen/belay/v1/job_pb.ts";
import { FORMAT_VERSION, refuseNewer } from "./format.ts";

/** Whose spool it is. */
export interface SpoolIdentity {
  readonly sessionId: string;
  readonly jobId: string;
  /** 0: the tracker had not given one yet, so nothing was run. */
  readonly attempt: number;
  /** As it said Hello. */
  readonly agent: AgentInfo;
  /** When the agent made the spool, in milliseconds since the Unix epoch. */
  readonly created: number;
}

const NAME = "meta.json";

/** Whether a directory is the spool of one session. */
export function isSpool(directory: string): boolean {
  return fs.existsSync(join(directory, NAME));
}

/** Writes it as a whole: a reader finds the old one or the new one. Throws the system's error. */
export function writeMeta(directory: string, { sessionId, jobId, attempt, agent, created }: SpoolIdentity): void {
  const meta = {
    format: FORMAT_VERSION,
    session_id: sessionId,
    job_id: jobId,
    attempt,
    created: new Date(created).toISOString(),
    agent: toJson(AgentInfoSchema, agent),
  };
  const path = join(directory, NAME);
  try {
    fs.writeFileSync(`${path}.new`, `${JSON.stringify(meta, undefined, 2)}\n`, { mode: 0o600 });
    fs.renameSync(`${path}.new`, path);
  } catch (error) {
    fs.rmSync(`${path}.new`, { force: true });
    throw error;
  }
}

/** @throws BelayError `SPOOL` if it is missing, damaged, or of a newer program */
export function readMeta(directory: string): SpoolIdentity {
  const path = join(directory, NAME);
  try {
    const meta = JSON.parse(fs.readFileSync(path, "utf8")) as Record<string, JsonValue>;
    if (typeof meta["format"] !== "number") throw new Error("it names no format");
    refuseNewer(meta["format"], directory);
    const { session_id: sessionId, job_id: jobId, attempt, created } = meta;
    if (
      typeof sessionId !== "string" ||
      typeof jobId !== "string" ||
      typeof attempt !== "number" ||
      typeof created !== "string"
    ) {
      throw new Error("expected session_id, job_id, attempt and created");
    }
    const agent = fromJson(AgentInfoSchema, meta["agent"] ?? {}, { ignoreUnknownFields: true });
    return { sessionId, jobId, attempt, agent, created: Date.parse(created) };
  } catch (error) {
    if (error instanceof BelayError) throw error;
    throw new BelayError("SPOOL", `Cannot read the spool "${directory}": ${NAME}: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

import { basename } from "node:path";
import { create } from "@bufbuild/protobuf";
import { elide } from "../../base/text/elide.ts";
import { EndReason, type FailureCard, FailureCardSchema, LogStream } from "../../gen/belay/v1/job_pb.ts";
import type { TailEnd } from "../report/output/tail.ts";
import { Evidence, type Known } from "./evidence.ts";
import { hintOf } from "./hints.ts";

/** Most characters of a hint, and of the names of killed processes: with the tail, a card has less than 8 KiB. */
const MOST_HINT = 900;
const MOST_KILLED = 200;

/** What a user needs to see first of an attempt that did not succeed. */
export function makeCard(known: Omit<Known, "tail">, tail: TailEnd | undefined): FailureCard {
  const text = Buffer.from(tail?.bytes ?? []).toString("utf8");
  const evidence = new Evidence({ ...known, tail: text });
  return create(FailureCardSchema, {
    tail: tail?.bytes ?? new Uint8Array(0),
    tailStream: tail?.stream ?? LogStream.UNSPECIFIED,
    peakMemoryBytes: known.result.usage?.peakMemoryBytes ?? 0n,
    memoryLimitBytes: BigInt(known.memoryLimit),
    killed: killedProcess(evidence),
    hint: elide(hintOf(evidence), MOST_HINT),
  });
}

/**
 * The kernel counts how many processes of a cgroup it kills and does not name them. The main process is known to be one of
 * them if SIGKILL ended it and Belay did not send that.
 */
function killedProcess({ result, signal, known, isSetup }: Evidence): string {
  const { ownEnd, spec } = known;
  if (result.reason !== EndReason.OOM_KILLED || signal !== "SIGKILL" || (ownEnd?.oomKills ?? 0) === 0) return "";
  const program = isSetup ? "sh" : basename(known.withoutSecrets(spec.command[0] ?? ""));
  const others = (ownEnd?.oomKills ?? 1) - 1;
  const more = others === 0 ? "" : ` and ${others} more`;
  return `${elide(program, MOST_KILLED)} (pid ${ownEnd?.pid})${more}`;
}

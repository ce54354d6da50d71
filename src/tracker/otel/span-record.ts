import type { Timestamp } from "@bufbuild/protobuf/wkt";
import type { TraceParent } from "../../base/trace-context.ts";

/** What is said of a span or of something that happened in it. */
export type Attributes = Record<string, string | number | boolean | string[]>;

/** Seconds and nanoseconds since the Unix epoch, as OpenTelemetry's SDK has it. */
export type Time = [seconds: number, nanoseconds: number];

/** Something that happened at one moment of a span. */
export interface Moment {
  readonly name: string;
  readonly time: Time;
  readonly attributes: Attributes;
}

/** A span that is over, as it waits for its export: plain data, to be stored as JSON. */
export interface SpanRecord {
  readonly span: TraceParent;
  /** Its parent's id. Absent: it begins a trace. */
  readonly parentId?: string;
  /** Whether the parent is somebody else's, not the tracker's. */
  readonly remoteParent: boolean;
  /** The submitter's `tracestate`. */
  readonly traceState: string;
  readonly kind: "server" | "internal";
  readonly name: string;
  readonly start: Time;
  readonly end: Time;
  readonly attributes: Attributes;
  readonly moments: readonly Moment[];
  /** Moments beyond those. */
  readonly leftOut: number;
  readonly links: readonly TraceParent[];
  /** What went wrong. Absent and not ok: nothing to complain of, but no success either. */
  readonly error?: string;
  readonly ok: boolean;
}

/** A time of the contract. */
export function timeOf(timestamp: Timestamp): Time {
  return [Number(timestamp.seconds), timestamp.nanos];
}

/** @param unixNano nanoseconds since the Unix epoch */
export function timeOfNano(unixNano: bigint): Time {
  return [Number(unixNano / 1_000_000_000n), Number(unixNano % 1_000_000_000n)];
}

/** The later one: clocks of two machines may disagree, and no span ends before it starts. */
export function later(a: Time, b: Time): Time {
  return a[0] > b[0] || (a[0] === b[0] && a[1] >= b[1]) ? a : b;
}

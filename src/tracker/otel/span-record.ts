import type { Timestamp } from "@bufbuild/protobuf/wkt";
import type { TraceParent } from "../../base/trace-context.ts";

/** Attributes of a span or of a moment in it. */
export type Attributes = Record<string, string | number | boolean | string[]>;

/** Seconds and nanoseconds since the Unix epoch, as in OpenTelemetry's SDK. */
export type Time = [seconds: number, nanoseconds: number];

/** An event at one moment of a span. */
export interface Moment {
  readonly name: string;
  readonly time: Time;
  readonly attributes: Attributes;
}

/** A span that has ended and waits for its export: plain data, stored as JSON. */
export interface SpanRecord {
  readonly span: TraceParent;
  /** Id of its parent. Absent: the span begins a trace. */
  readonly parentId?: string;
  /** Whether the parent span was made by another program, not the tracker. */
  readonly remoteParent: boolean;
  /** The submitter's `tracestate`. */
  readonly traceState: string;
  readonly kind: "server" | "internal";
  readonly name: string;
  readonly start: Time;
  readonly end: Time;
  readonly attributes: Attributes;
  readonly moments: readonly Moment[];
  /** How many further moments were not kept. */
  readonly leftOut: number;
  readonly links: readonly TraceParent[];
  /** What went wrong. Absent and not ok: no error, but no success either. */
  readonly error?: string;
  readonly ok: boolean;
}

/** Converts a time of the contract. */
export function timeOf(timestamp: Timestamp): Time {
  return [Number(timestamp.seconds), timestamp.nanos];
}

/** @param unixNano nanoseconds since the Unix epoch */
export function timeOfNano(unixNano: bigint): Time {
  return [Number(unixNano / 1_000_000_000n), Number(unixNano % 1_000_000_000n)];
}

/** The later of two times: the clocks of two machines may disagree, but no span may end before it starts. */
export function later(a: Time, b: Time): Time {
  return a[0] > b[0] || (a[0] === b[0] && a[1] >= b[1]) ? a : b;
}

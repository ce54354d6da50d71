/**
 * The part of W3C Trace Context that a job needs (https://www.w3.org/TR/trace-context/): a parent span, as text in
 * environment variables. Needs no OpenTelemetry library, so that an agent starts without one.
 */

/** Longest `tracestate` that is accepted; the standard requires at least this much. */
export const MAX_TRACE_STATE_BYTES = 512;
/** Most members of a `tracestate`. */
const MAX_MEMBERS = 32;

/** The identity of a span. */
export interface TraceParent {
  /** 32 lower-case hexadecimal digits, not all zero. */
  readonly traceId: string;
  /** 16 lower-case hexadecimal digits, not all zero. */
  readonly spanId: string;
  /** Whether the trace is recorded. Decided by the program that began it. */
  readonly sampled: boolean;
}

const TRACE_PARENT = /^(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
const KEY = /^(?:[a-z][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13})$/;
const VALUE = /^[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]$/;

/**
 * Parses a `traceparent`. If its version is a later one, the fields known here are used, as the standard requires.
 *
 * @returns undefined if the text is not a traceparent
 */
export function parseTraceParent(text: string): TraceParent | undefined {
  const [, version, traceId = "", spanId = "", flags = "", more] = TRACE_PARENT.exec(text) ?? [];
  if (version === undefined || (version === "00" && more !== undefined)) return undefined;
  return { traceId, spanId, sampled: (Number.parseInt(flags, 16) & 1) === 1 };
}

/** Formats a `traceparent`. */
export function formatTraceParent({ traceId, spanId, sampled }: TraceParent): string {
  return `00-${traceId}-${spanId}-${sampled ? "01" : "00"}`;
}

/** Whether a text is a `tracestate` that can be passed on. An empty text is. */
export function isTraceState(text: string): boolean {
  if (text.length > MAX_TRACE_STATE_BYTES) return false;
  const members = text.split(",").map((member) => member.replaceAll(/^[ \t]+|[ \t]+$/g, ""));
  if (members.length > MAX_MEMBERS) return false;
  const keys = new Set<string>();
  for (const member of members) {
    if (member === "") continue;
    const cut = member.indexOf("=");
    const key = member.slice(0, cut);
    if (cut < 0 || keys.has(key) || !KEY.test(key) || !VALUE.test(member.slice(cut + 1))) return false;
    keys.add(key);
  }
  return true;
}

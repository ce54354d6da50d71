/**
 * W3C Trace Context, as far as a job needs it (https://www.w3.org/TR/trace-context/): who started what, as text that
 * goes through environment variables. Needs no library of OpenTelemetry, so that an agent starts without one.
 */

/** Longest `tracestate` that is taken; the standard asks that at least this much is passed on. */
export const MAX_TRACE_STATE_BYTES = 512;
/** Most members of a `tracestate`. */
const MAX_MEMBERS = 32;

/** One span, as others name it. */
export interface TraceParent {
  /** 32 lower-case hexadecimal digits, not all zero. */
  readonly traceId: string;
  /** 16 of them. */
  readonly spanId: string;
  /** Whether whoever began the trace has it recorded. */
  readonly sampled: boolean;
}

const TRACE_PARENT = /^(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
const KEY = /^(?:[a-z][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13})$/;
const VALUE = /^[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]$/;

/**
 * Reads a `traceparent`. Of a version later than ours, what we know of it counts, as the standard wants.
 *
 * @returns undefined if it is none
 */
export function parseTraceParent(text: string): TraceParent | undefined {
  const [, version, traceId = "", spanId = "", flags = "", more] = TRACE_PARENT.exec(text) ?? [];
  if (version === undefined || (version === "00" && more !== undefined)) return undefined;
  return { traceId, spanId, sampled: (Number.parseInt(flags, 16) & 1) === 1 };
}

/** Writes a `traceparent`. */
export function formatTraceParent({ traceId, spanId, sampled }: TraceParent): string {
  return `00-${traceId}-${spanId}-${sampled ? "01" : "00"}`;
}

/** Whether a text is a `tracestate` that can be passed on. The empty one is. */
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

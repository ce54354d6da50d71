import type { SpanContext } from "@opentelemetry/api";
import { SpanKind, SpanStatusCode, TraceFlags, createTraceState } from "@opentelemetry/api";
import type { Resource } from "@opentelemetry/resources";
import type { ReadableSpan } from "@opentelemetry/sdk-trace";
import type { TraceParent } from "../../base/trace-context.ts";
import { VERSION } from "../../base/version.ts";
import type { SpanRecord, Time } from "./span-record.ts";

/** The instrumentation scope of all spans and metrics. */
export const SCOPE: { readonly name: string; readonly version: string } = { name: "belay", version: VERSION };

/** Converts a stored span to the type that the SDK's exporter accepts. */
export function readableSpan(record: SpanRecord, resource: Resource): ReadableSpan {
  const { span, parentId, start, end, moments } = record;
  const context = contextOf(span, record.traceState);
  return {
    name: record.name,
    kind: record.kind === "server" ? SpanKind.SERVER : SpanKind.INTERNAL,
    spanContext: () => context,
    ...(parentId === undefined
      ? {}
      : { parentSpanContext: { ...context, spanId: parentId, isRemote: record.remoteParent } }),
    startTime: start,
    endTime: end,
    duration: between(start, end),
    status: statusOf(record),
    attributes: record.attributes,
    links: record.links.map((link) => ({ context: contextOf(link, "") })),
    events: moments.map(({ name, time, attributes }) => ({ name, time, attributes })),
    ended: true,
    resource,
    instrumentationScope: SCOPE,
    droppedAttributesCount: 0,
    droppedEventsCount: record.leftOut,
    droppedLinksCount: 0,
  };
}

function contextOf({ traceId, spanId }: TraceParent, traceState: string): SpanContext {
  return {
    traceId,
    spanId,
    traceFlags: TraceFlags.SAMPLED,
    ...(traceState === "" ? {} : { traceState: createTraceState(traceState) }),
  };
}

function statusOf({ ok, error }: SpanRecord): ReadableSpan["status"] {
  if (error !== undefined) return { code: SpanStatusCode.ERROR, message: error };
  return { code: ok ? SpanStatusCode.OK : SpanStatusCode.UNSET };
}

function between(start: Time, end: Time): Time {
  const seconds = end[0] - start[0];
  const nanos = end[1] - start[1];
  return nanos < 0 ? [seconds - 1, nanos + 1_000_000_000] : [seconds, nanos];
}

import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";

/** A field of an OTLP message: its name, and how it is decoded. `*`: it is repeated. */
type Field = readonly [name: string, type: Scalar | (() => Message), many?: "*"];
type Scalar = "string" | "hex" | "fixed64" | "fixed32" | "double" | "sfixed64" | "int64" | "uint32" | "bool";
type Message = Readonly<Record<number, Field>>;

// The fields of opentelemetry-proto 1.x that tests check.
const Any: Message = {
  1: ["value", "string"],
  2: ["value", "bool"],
  3: ["value", "int64"],
  4: ["value", "double"],
  5: ["array", () => ({ 1: ["values", () => Any, "*"] })],
};
const KeyValue: Message = { 1: ["key", "string"], 2: ["any", () => Any] };
const Resource: Message = { 1: ["attributes", () => KeyValue, "*"] };
const Scope: Message = { 1: ["name", "string"], 2: ["version", "string"] };
const Event: Message = { 1: ["time", "fixed64"], 2: ["name", "string"], 3: ["attributes", () => KeyValue, "*"] };
const Link: Message = { 1: ["traceId", "hex"], 2: ["spanId", "hex"] };
const Status: Message = { 2: ["message", "string"], 3: ["code", "uint32"] };
const Span: Message = {
  1: ["traceId", "hex"],
  2: ["spanId", "hex"],
  3: ["traceState", "string"],
  4: ["parentSpanId", "hex"],
  5: ["name", "string"],
  6: ["kind", "uint32"],
  7: ["start", "fixed64"],
  8: ["end", "fixed64"],
  9: ["attributes", () => KeyValue, "*"],
  11: ["events", () => Event, "*"],
  12: ["droppedEvents", "uint32"],
  13: ["links", () => Link, "*"],
  15: ["status", () => Status],
  16: ["flags", "fixed32"],
};
const Traces: Message = {
  1: [
    "resources",
    () => ({
      1: ["resource", () => Resource],
      2: ["scopes", () => ({ 1: ["scope", () => Scope], 2: ["spans", () => Span, "*"] }), "*"],
    }),
    "*",
  ],
};
const Point: Message = {
  2: ["start", "fixed64"],
  3: ["time", "fixed64"],
  4: ["value", "double"],
  6: ["value", "sfixed64"],
  7: ["attributes", () => KeyValue, "*"],
};
const Metric: Message = {
  1: ["name", "string"],
  3: ["unit", "string"],
  5: ["gauge", () => ({ 1: ["points", () => Point, "*"] })],
  7: ["sum", () => ({ 1: ["points", () => Point, "*"], 2: ["temporality", "uint32"], 3: ["monotonic", "bool"] })],
};
const Metrics: Message = {
  1: [
    "resources",
    () => ({
      1: ["resource", () => Resource],
      2: ["scopes", () => ({ 1: ["scope", () => Scope], 2: ["metrics", () => Metric, "*"] }), "*"],
    }),
    "*",
  ],
};

/** A received span. Times are nanoseconds. */
export interface ReceivedSpan {
  readonly traceId: string;
  readonly spanId: string;
  /** Empty: the span has no parent. */
  readonly parentSpanId: string;
  readonly traceState: string;
  readonly name: string;
  readonly kind: number;
  readonly start: bigint;
  readonly end: bigint;
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly events: readonly { readonly name: string; readonly attributes: Readonly<Record<string, unknown>> }[];
  readonly links: readonly { readonly traceId: string; readonly spanId: string }[];
  /** 0: unset, 1: OK, 2: error. */
  readonly code: number;
  readonly message: string;
  readonly resource: Readonly<Record<string, unknown>>;
}

/** A received point of a metric. */
export interface ReceivedPoint {
  readonly metric: string;
  readonly unit: string;
  readonly counts: boolean;
  readonly value: number;
  readonly start: bigint;
  readonly time: bigint;
  readonly attributes: Readonly<Record<string, unknown>>;
}

/** Reads an ExportTraceServiceRequest. */
export function decodeSpans(body: Uint8Array): ReceivedSpan[] {
  return all(read(body, Traces)["resources"]).flatMap((group) =>
    all(group["scopes"]).flatMap((scope) =>
      all(scope["spans"]).map((span) => {
        const status = (span["status"] ?? {}) as Record<string, unknown>;
        return {
          parentSpanId: "",
          traceState: "",
          ...span,
          attributes: attributesOf(span),
          events: all(span["events"]).map((event) => ({ ...event, attributes: attributesOf(event) })),
          links: all(span["links"]),
          code: status["code"] ?? 0,
          message: status["message"] ?? "",
          resource: attributesOf((group["resource"] ?? {}) as Record<string, unknown>),
        } as unknown as ReceivedSpan;
      }),
    ),
  );
}

/** Reads an ExportMetricsServiceRequest. */
export function decodePoints(body: Uint8Array): ReceivedPoint[] {
  return all(read(body, Metrics)["resources"]).flatMap((group) =>
    all(group["scopes"]).flatMap((scope) =>
      all(scope["metrics"]).flatMap((metric) => {
        const sum = metric["sum"] as Record<string, unknown> | undefined;
        const data = sum ?? (metric["gauge"] as Record<string, unknown> | undefined) ?? {};
        return all(data["points"]).map((point) => ({
          metric: String(metric["name"]),
          unit: (metric["unit"] as string | undefined) ?? "",
          counts: sum?.["monotonic"] === true,
          value: Number(point["value"] ?? 0),
          start: point["start"] as bigint,
          time: point["time"] as bigint,
          attributes: attributesOf(point),
        }));
      }),
    ),
  );
}

function attributesOf(message: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    all(message["attributes"]).map(({ key, any }) => [String(key), anyOf((any ?? {}) as Record<string, unknown>)]),
  );
}

function anyOf(any: Record<string, unknown>): unknown {
  if (any["array"] === undefined) return any["value"];
  return all((any["array"] as Record<string, unknown>)["values"]).map(anyOf);
}

function all(value: unknown): Record<string, unknown>[] {
  return (value ?? []) as Record<string, unknown>[];
}

function read(bytes: Uint8Array, message: Message): Record<string, unknown> {
  const reader = new BinaryReader(bytes);
  const result: Record<string, unknown> = {};
  while (reader.pos < reader.len) {
    const [number, wireType] = reader.tag();
    const field = message[number];
    if (field === undefined) {
      reader.skip(wireType, number);
      continue;
    }
    const [name, type, many] = field;
    const value = typeof type === "function" ? read(reader.bytes(), type()) : scalar(reader, type, wireType);
    if (many === undefined) result[name] = value;
    else ((result[name] ??= []) as unknown[]).push(value);
  }
  return result;
}

function scalar(reader: BinaryReader, type: Scalar, wireType: WireType): unknown {
  switch (type) {
    case "string":
      return reader.string();
    case "hex":
      return Buffer.from(reader.bytes()).toString("hex");
    case "fixed64":
      return BigInt(reader.fixed64());
    case "sfixed64":
      return BigInt(reader.sfixed64());
    case "fixed32":
      return reader.fixed32();
    case "double":
      if (wireType !== WireType.Bit64) throw new Error(`A double of wire type ${wireType}`);
      return reader.double();
    case "int64":
      return Number(reader.int64());
    case "uint32":
      return reader.uint32();
    case "bool":
      return reader.bool();
  }
}

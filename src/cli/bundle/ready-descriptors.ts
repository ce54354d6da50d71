import { deepStrictEqual } from "node:assert";
import { fileURLToPath } from "node:url";
import type { DescMessage, Message } from "@bufbuild/protobuf";
import { create, fromBinary, isMessage, toBinary } from "@bufbuild/protobuf";
import { nestedTypes, protoCamelCase } from "@bufbuild/protobuf/reflect";
import { base64Decode } from "@bufbuild/protobuf/wire";
import type { DescriptorProto, FileDescriptorProto } from "@bufbuild/protobuf/wkt";
import { FileDescriptorProtoSchema, file_google_protobuf_descriptor } from "@bufbuild/protobuf/wkt";
import type { SetFields, Shape } from "./hydrate.ts";
import { hydrate } from "./hydrate.ts";

/** The part of a bundler's plugin that is used; Rollup's and rolldown's are alike. */
interface Plugin {
  readonly name: string;
  resolveId(id: string): string | undefined;
  load(id: string): string | undefined;
  transform(code: string, id?: string): string | undefined;
}

const SHAPES_ID = "\0src/cli/bundle/shapes";
const HYDRATE = fileURLToPath(new URL("hydrate.ts", import.meta.url));
const WHEN_ASKED = fileURLToPath(new URL("when-asked.ts", import.meta.url));

/** A call of `fileDesc` as protoc-gen-es writes it: base64 of the descriptor, then the imported files. */
const CALL = /\bfileDesc\(\s*"([\w+/=]+)"\s*(?:,\s*(\[[^\]]*\]))?\s*,?\s*\)/g;

/** The file in which Protobuf-ES makes descriptors, and its calls that describe the fields of messages. */
const REGISTRY = /[\\/]@bufbuild[\\/]protobuf[\\/].*[\\/]registry\.js$/;
const DESCRIBE = /\baddFields\((message|child), reg, mapEntries\);/g;

/**
 * Decodes the descriptors of generated code when the command line is bundled, not each time it starts.
 *
 * Protobuf-ES embeds each descriptor as base64 of a FileDescriptorProto. To decode it, Protobuf-ES first builds the
 * descriptors of descriptor.proto itself, which nothing else needs. Both together take two thirds of the time for
 * loading the contract, 10 ms of an agent's start. Each descriptor made here is compared with the one that Protobuf-ES
 * decodes; a difference fails the build. Most of the remaining time is describing the fields of messages, of which an
 * agent uses a third: they are described when they are first read.
 */
export function readyDescriptors(): Plugin {
  return {
    name: "ready-descriptors",
    resolveId: (id) => (id === SHAPES_ID ? id : undefined),
    load: (id) => (id === SHAPES_ID ? `export default ${JSON.stringify(SHAPES)};` : undefined),
    transform(code, id = "") {
      if (REGISTRY.test(id)) return lazyRegistry(code);
      let found = false;
      const transformed = code.replace(CALL, (_, base64: string, imports: string | undefined) => {
        found = true;
        return `readyFileDesc(${JSON.stringify(setFieldsOfFile(base64))}, descriptorShapes, ${imports ?? "[]"})`;
      });
      if (!found) return undefined;
      return (
        `import { readyFileDesc } from ${JSON.stringify(HYDRATE)};\n` +
        `import descriptorShapes from ${JSON.stringify(SHAPES_ID)};\n${transformed}`
      );
    },
  };
}

/** Describes fields when they are first read. @throws Error if the code of Protobuf-ES has another form */
function lazyRegistry(code: string): string {
  let found = 0;
  const transformed = code.replace(DESCRIBE, (call, message: string) => {
    found += 1;
    return `describeWhenAsked(${message}, () => ${call.slice(0, -1)});`;
  });
  if (found !== 2) {
    throw new Error(
      `Protobuf-ES has the fields of messages described in ${found} places: expected 2; see ready-descriptors.ts`,
    );
  }
  return `import { describeWhenAsked } from ${JSON.stringify(WHEN_ASKED)};\n${transformed}`;
}

/** All types of messages in a descriptor. */
export const SHAPES: Readonly<Record<string, Shape>> = Object.fromEntries(
  [...nestedTypes(file_google_protobuf_descriptor)].flatMap((type) =>
    // Compilers replace uninterpreted options.
    type.kind === "message" && type.name !== "UninterpretedOption" ? [[type.typeName, shapeOf(type)] as const] : [],
  ),
);

function shapeOf(type: DescMessage): Shape {
  const fields = type.fields.map((field) => [field.localName, field] as const);
  return {
    inherited: { ...(Object.getPrototypeOf(create(type)) as Record<string, unknown>) },
    lists: fields.flatMap(([name, { fieldKind }]) => (fieldKind === "list" ? [name] : [])),
    messages: Object.fromEntries(
      fields.flatMap(([name, { message }]) => (message === undefined ? [] : [[name, message.typeName] as const])),
    ),
  };
}

/**
 * Decodes a descriptor and restores JSON names, as `fileDesc` does. Dependencies are added by `readyFileDesc`.
 *
 * @throws Error if hydrating would not make the same message again
 */
export function setFieldsOfFile(base64: string): SetFields {
  const proto = fromBinary(FileDescriptorProtoSchema, base64Decode(base64));
  for (const message of proto.messageType) restoreJsonNames(message);
  const fields = JSON.parse(JSON.stringify(setFieldsOf(proto))) as SetFields;
  const hydrated = hydrate(fields, proto.$typeName, SHAPES) as unknown as FileDescriptorProto;
  const [wanted, made] = [proto, hydrated].map((message) => toBinary(FileDescriptorProtoSchema, message));
  deepStrictEqual(made, wanted);
  return fields;
}

function restoreJsonNames(message: DescriptorProto): void {
  for (const field of message.field) {
    if (!Object.hasOwn(field, "jsonName")) field.jsonName = protoCamelCase(field.name);
  }
  for (const nested of message.nestedType) restoreJsonNames(nested);
}

function setFieldsOf(message: Message): SetFields {
  const set = Object.entries(message).filter(
    ([name, value]) => name !== "$typeName" && value !== undefined && !(Array.isArray(value) && value.length === 0),
  );
  return Object.fromEntries(
    set.map(
      ([name, value]) => [name, Array.isArray(value) ? value.map(setFieldsOfValue) : setFieldsOfValue(value)] as const,
    ),
  );
}

function setFieldsOfValue(value: unknown): unknown {
  return isMessage(value) ? setFieldsOf(value) : value;
}

import { createFileRegistry } from "@bufbuild/protobuf";
import type { GenFile } from "@bufbuild/protobuf/codegenv2";
import type { FileDescriptorProto } from "@bufbuild/protobuf/wkt";

/** The form of an empty message of descriptor.proto, and its fields that hold messages. */
export interface Shape {
  /** Defaults of fields. They are on the prototype, so that the fields do not count as set. */
  readonly inherited: Readonly<Record<string, unknown>>;
  readonly lists: readonly string[];
  /** Names of the types of messages, by field. */
  readonly messages: Readonly<Record<string, string>>;
}

/** A descriptor with only the fields that are set. */
export type SetFields = Readonly<Record<string, unknown>>;

/** Replaces `fileDesc` of Protobuf-ES, for a descriptor that was decoded when the command line was bundled. */
export function readyFileDesc(
  fields: SetFields,
  shapes: Readonly<Record<string, Shape>>,
  dependencies: readonly GenFile[],
): GenFile {
  const proto = hydrate(fields, "google.protobuf.FileDescriptorProto", shapes) as unknown as FileDescriptorProto;
  proto.dependency = dependencies.map((file) => file.proto.name);
  const registry = createFileRegistry(proto, (name) => dependencies.find((file) => file.proto.name === name));
  return registry.getFile(proto.name) as GenFile;
}

/** Makes the complete message from its set fields. */
export function hydrate(
  fields: SetFields,
  type: string,
  shapes: Readonly<Record<string, Shape>>,
): Record<string, unknown> {
  const shape = shapes[type];
  if (shape === undefined) throw new Error(`No shape of "${type}"`);
  const message: Record<string, unknown> = Object.create(shape.inherited) as Record<string, unknown>;
  message["$typeName"] = type;
  for (const name of shape.lists) message[name] = [];
  Object.assign(message, fields);
  for (const [name, inner] of Object.entries(shape.messages)) {
    const value = fields[name];
    if (value === undefined) continue;
    message[name] = Array.isArray(value)
      ? value.map((item: SetFields) => hydrate(item, inner, shapes))
      : hydrate(value as SetFields, inner, shapes);
  }
  return message;
}

import type { DescField, DescMessage, Message, MessageShape } from "@bufbuild/protobuf";
import { ScalarType } from "@bufbuild/protobuf";

/** Fields that identify something: another text would identify something else. */
const IDENTITIES: ReadonlySet<string> = new Set([
  "job_id",
  "session_id",
  "command_id",
  "left_job_id",
  "deleted_job_id",
  "trace_parent",
]);

/** Returns another text, or the same. */
export type MapText = (text: string) => string;

/**
 * Maps every text of a message, including those in its messages, lists and maps, and the keys of maps. Ids stay
 * unchanged.
 *
 * @returns the same message if no text changes, otherwise a copy that shares what has not changed
 */
export function mapText<D extends DescMessage>(desc: D, message: MessageShape<D>, map: MapText): MessageShape<D> {
  let copy: Record<string, unknown> | undefined;
  const before = message as unknown as Record<string, unknown>;
  for (const field of desc.fields) {
    if (!holdsText(field)) continue;
    const { oneof, localName } = field;
    if (oneof === undefined) {
      const value = before[localName];
      const after = mapField(field, value, map);
      if (after !== value) (copy ??= copyOf(before))[localName] = after;
      continue;
    }
    const choice = before[oneof.localName] as { case?: string; value?: unknown };
    if (choice.case !== localName) continue;
    const value = mapField(field, choice.value, map);
    if (value !== choice.value) (copy ??= copyOf(before))[oneof.localName] = { case: localName, value };
  }
  return (copy ?? message) as MessageShape<D>;
}

/** A copy with the same prototype, which identifies the type of the message. */
function copyOf(message: Record<string, unknown>): Record<string, unknown> {
  return Object.assign(Object.create(Object.getPrototypeOf(message) as object) as Record<string, unknown>, message);
}

function holdsText(field: DescField): boolean {
  if (IDENTITIES.has(field.name) || field.fieldKind === "enum") return false;
  return field.message !== undefined || field.fieldKind === "map" || field.scalar === ScalarType.STRING;
}

function mapField(field: DescField, value: unknown, map: MapText): unknown {
  if (value === undefined) return undefined;
  switch (field.fieldKind) {
    case "scalar":
      return map(value as string);
    case "message":
      return mapText(field.message, value as Message, map);
    case "list": {
      const list = value as readonly unknown[];
      const mapped = list.map((item) =>
        field.listKind === "message" ? mapText(field.message, item as Message, map) : map(item as string),
      );
      return mapped.every((item, i) => item === list[i]) ? value : mapped;
    }
    case "map": {
      const entries = Object.entries(value as Record<string, unknown>);
      const mapped = entries.map(([key, item]): [string, unknown] => [
        map(key),
        field.mapKind === "message"
          ? mapText(field.message, item as Message, map)
          : field.scalar === ScalarType.STRING
            ? map(item as string)
            : item,
      ]);
      const same = mapped.every(([key, item], i) => key === entries[i]?.[0] && item === entries[i]?.[1]);
      return same ? value : Object.fromEntries(mapped);
    }
    case "enum":
      return value;
  }
}

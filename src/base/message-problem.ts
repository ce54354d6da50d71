import type { DescField, DescMessage } from "@bufbuild/protobuf";
import { ScalarType } from "@bufbuild/protobuf";
import { describeValue, isObject } from "./options.ts";

/**
 * Checks that a program's value for a message or its fields can be sent: protobuf-es accepts any value and encodes
 * `command: "ls"` as two arguments.
 *
 * @returns the path, what was expected and what was found, for an error; undefined if the value is valid
 */
export function messageProblem(desc: DescMessage, value: unknown, path = ""): string | undefined {
  if (!isObject(value) || Array.isArray(value)) return wrong(path, "an object", value);
  for (const [name, one] of Object.entries(value)) {
    if (name === "$typeName" && one !== desc.typeName) return wrong(path, `a ${desc.typeName}`, one);
    if (name.startsWith("$") || one === undefined) continue;
    const field = desc.fields.find(({ localName }) => localName === name);
    const at = path === "" ? name : `${path}.${name}`;
    if (field === undefined) return `"${at}" is not known: expected ${desc.fields.map((f) => f.localName).join(", ")}`;
    const problem = fieldProblem(field, one, at);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

function fieldProblem(field: DescField, value: unknown, path: string): string | undefined {
  switch (field.fieldKind) {
    case "message":
      return messageProblem(field.message, value, path);
    case "enum":
      return scalarProblem(ScalarType.INT32, value, path);
    case "scalar":
      return scalarProblem(field.scalar, value, path);
    case "list":
      if (!Array.isArray(value)) return wrong(path, "a list", value);
      return first(value.entries(), ([index, item]) => itemProblem(field, item, `${path}[${index}]`));
    case "map":
      if (!isObject(value) || Array.isArray(value)) return wrong(path, "an object", value);
      return first(Object.entries(value), ([key, item]) => itemProblem(field, item, `${path}["${key}"]`));
  }
}

function itemProblem(field: DescField & { fieldKind: "list" | "map" }, value: unknown, path: string) {
  if (field.message !== undefined) return messageProblem(field.message, value, path);
  return scalarProblem(field.scalar ?? ScalarType.INT32, value, path);
}

function scalarProblem(type: ScalarType, value: unknown, path: string): string | undefined {
  const [expected, fits] = expectation(type, value);
  return fits ? undefined : wrong(path, expected, value);
}

function expectation(type: ScalarType, value: unknown): [expected: string, fits: boolean] {
  switch (type) {
    case ScalarType.STRING:
      return ["a text of valid Unicode", typeof value === "string" && value.isWellFormed()];
    case ScalarType.BOOL:
      return ["true or false", typeof value === "boolean"];
    case ScalarType.BYTES:
      return ["bytes", value instanceof Uint8Array];
    case ScalarType.DOUBLE:
    case ScalarType.FLOAT:
      return ["a number", typeof value === "number"];
    case ScalarType.UINT64:
    case ScalarType.FIXED64:
      return ["a bigint, 0n or more", typeof value === "bigint" && value >= 0n && value < 2n ** 64n];
    case ScalarType.INT64:
    case ScalarType.SFIXED64:
    case ScalarType.SINT64:
      return ["a bigint", typeof value === "bigint" && BigInt.asIntN(64, value) === value];
    case ScalarType.UINT32:
    case ScalarType.FIXED32:
      return ["a whole number, 0 or more", Number.isInteger(value) && value === Number(value) >>> 0];
    default:
      return ["a whole number", Number.isInteger(value) && value === (Number(value) | 0)];
  }
}

function first<T>(items: Iterable<T>, problem: (item: T) => string | undefined): string | undefined {
  for (const item of items) {
    const found = problem(item);
    if (found !== undefined) return found;
  }
  return undefined;
}

function wrong(path: string, expected: string, found: unknown): string {
  const what = path === "" ? "It" : `"${path}"`;
  return `${what} is ${describeValue(found)}: expected ${expected}`;
}

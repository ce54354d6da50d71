import type { DescEnum, DescField, DescMessage, JsonObject, JsonValue } from "@bufbuild/protobuf";
import { ScalarType } from "@bufbuild/protobuf";
import type { ParsedNode, Scalar } from "yaml";
import { isAlias, isMap, isScalar, isSeq } from "yaml";
import { parseDuration } from "../../contract/durations.ts";
import { BelayError } from "../../base/errors.ts";
import { parseSize } from "../../contract/sizes.ts";
import { didYouMean } from "../../base/text/did-you-mean.ts";
import { isKey } from "../flags/flags.ts";
import type { SpecSource } from "./spec-error.ts";
import { specError } from "./spec-error.ts";

type Path = readonly string[];

/**
 * Turns a node of a YAML document into the protobuf JSON of a message. It walks document and message side by side, so
 * that every error names line and key. Beyond protobuf JSON it accepts durations such as `5m`, sizes such as `64MiB`,
 * and numbers where a text is expected (as written: `1.10` stays `1.10`).
 *
 * @throws BelayError `BAD_SPEC`
 */
export function messageValue(desc: DescMessage, node: ParsedNode | null, path: Path, source: SpecSource): JsonObject {
  if (!isMap(node)) throw found(source, node, path, "keys with values");
  const json: JsonObject = {};
  for (const { key, value } of node.items) {
    const name = keyText(key, path, source);
    const field = desc.fields.find((candidate) => candidate.jsonName === name || candidate.name === name);
    if (field === undefined) {
      const known = desc.fields.map((candidate) => candidate.jsonName);
      const near = didYouMean(name, known);
      const hint = near === "" ? `; known are ${known.join(", ")}` : near;
      throw specError(source, startOf(key), [...path, name], `unknown key${hint}`);
    }
    if (isNothing(value)) continue;
    json[field.jsonName] = fieldValue(field, value, [...path, field.jsonName], source);
  }
  return json;
}

function fieldValue(field: DescField, node: ParsedNode | null, path: Path, source: SpecSource): JsonValue {
  switch (field.fieldKind) {
    case "message":
      return messageOrDuration(field.message, node, path, source);
    case "scalar":
      return scalarValue(field.scalar, field.name, node, path, source);
    case "list":
      if (!isSeq(node)) throw found(source, node, path, `a list such as ${listExample(field)}`);
      return node.items.map((item, index) => {
        const at = [...path, `[${index}]`];
        switch (field.listKind) {
          case "message":
            return messageValue(field.message, item, at, source);
          case "enum":
            return enumValue(field.enum, item, at, source);
          case "scalar":
            return scalarValue(field.scalar, field.name, item, at, source);
        }
      });
    case "map": {
      if (!isMap(node)) throw found(source, node, path, "keys with values");
      const json: JsonObject = {};
      for (const { key, value } of node.items) {
        const name = keyText(key, path, source);
        if (!isKey(name)) throw specError(source, startOf(key), [...path, name], "expected another key");
        json[name] = scalarValue(ScalarType.STRING, field.name, value, [...path, name], source);
      }
      return json;
    }
    case "enum":
      return enumValue(field.enum, node, path, source);
  }
}

/** A word such as `END`, in any case, or the contract's whole name of it, `STALL_ACTION_END`. */
function enumValue(desc: DescEnum, node: ParsedNode | null, path: Path, source: SpecSource): JsonValue {
  const words = desc.values.filter(({ number }) => number !== 0);
  const given = isScalar(node) ? scalarText(node).toUpperCase() : "";
  const value = words.find(({ name, localName }) => given === name || given === localName);
  if (value !== undefined) return value.name;
  throw found(source, node, path, `one of ${words.map(({ localName }) => localName).join(", ")}`);
}

function messageOrDuration(desc: DescMessage, node: ParsedNode | null, path: Path, source: SpecSource): JsonValue {
  if (desc.typeName !== "google.protobuf.Duration") return messageValue(desc, node, path, source);
  if (!isScalar(node)) throw found(source, node, path, `a duration such as "300s" or "5m"`);
  try {
    return `${parseDuration(scalarText(node)) / 1000}s`;
  } catch (error) {
    throw found(source, node, path, boundOf(error) ?? `a duration such as "300s" or "5m"`);
  }
}

function scalarValue(
  type: ScalarType,
  name: string,
  node: ParsedNode | null,
  path: Path,
  source: SpecSource,
): JsonValue {
  if (!isScalar(node)) throw found(source, node, path, type === ScalarType.BOOL ? "true or false" : "a text");
  const value: unknown = node.value;
  switch (type) {
    case ScalarType.STRING:
      if (value === null) throw found(source, node, path, "a text");
      return typeof value === "string" ? value : scalarText(node);
    case ScalarType.BOOL:
      if (typeof value !== "boolean") throw found(source, node, path, "true or false");
      return value;
    default:
      if (!name.endsWith("_bytes") && !/^\d+$/.test(scalarText(node)))
        throw found(source, node, path, "a whole number");
      try {
        return String(parseSize(scalarText(node)));
      } catch (error) {
        const expected = name.endsWith("_bytes") ? `a size such as "64MiB"` : "a whole number";
        throw found(source, node, path, boundOf(error) ?? expected);
      }
  }
}

/** The bound that a number exceeds; undefined: it is not a number. */
function boundOf(error: unknown): string | undefined {
  if (!(error instanceof BelayError)) throw error;
  return /: expected ((?:at most|less than) .+)$/.exec(error.message)?.[1];
}

function keyText(key: ParsedNode, path: Path, source: SpecSource): string {
  if (!isScalar(key)) throw specError(source, startOf(key), path, "expected a key that is a text");
  return scalarText(key);
}

/** A scalar as it is written: `1.10` or `0x10`, not the number that it stands for. */
function scalarText(node: Scalar): string {
  return typeof node.value === "string" ? node.value : (node.source ?? String(node.value));
}

function isNothing(node: ParsedNode | null): boolean {
  return node === null || (isScalar(node) && (node as Scalar).value === null);
}

function listExample(field: DescField): string {
  if (field.enum !== undefined)
    return `[${field.enum.values
      .slice(1, 3)
      .map(({ localName }) => localName)
      .join(", ")}]`;
  return field.message === undefined ? `["python", "train.py"]` : "- run: npm ci";
}

function found(source: SpecSource, node: ParsedNode | null, path: Path, expected: string): BelayError {
  return specError(source, startOf(node), path, `expected ${expected}, found ${describe(node)}`);
}

function startOf(node: ParsedNode | null): number {
  return node?.range[0] ?? 0;
}

function describe(node: ParsedNode | null): string {
  if (node === null) return "nothing";
  if (isMap(node)) return "keys with values";
  if (isSeq(node)) return "a list";
  if (isAlias(node)) return "an alias";
  const text = scalarText(node);
  if (node.value === null) return "nothing";
  return `"${text.length > 40 ? `${text.slice(0, 40)}…` : text}"`;
}

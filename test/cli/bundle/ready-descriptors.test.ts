import fs from "node:fs";
import path from "node:path";
import type { DescFile, DescMessage, MessageInitShape } from "@bufbuild/protobuf";
import { create, fromBinary, toBinary, toJson } from "@bufbuild/protobuf";
import { nestedTypes } from "@bufbuild/protobuf/reflect";
import { describe, expect, test } from "vitest";
import { readyFileDesc } from "../../../src/cli/bundle/hydrate.ts";
import { setFieldsOfFile, readyDescriptors, SHAPES } from "../../../src/cli/bundle/ready-descriptors.ts";
import { describeWhenAsked } from "../../../src/cli/bundle/when-asked.ts";
import { file_belay_v1_job, JobSchema, JobState } from "../../../src/gen/belay/v1/job_pb.ts";
import { file_belay_v1_job_service } from "../../../src/gen/belay/v1/job_service_pb.ts";
import { file_belay_v1_tracker_service } from "../../../src/gen/belay/v1/tracker_service_pb.ts";

const GENERATED = "src/gen/belay/v1";
const FILES: readonly [string, DescFile][] = [
  ["job", file_belay_v1_job],
  ["tracker_service", file_belay_v1_tracker_service],
  ["job_service", file_belay_v1_job_service],
];

describe("A descriptor that is decoded when the command line is bundled", () => {
  test.each(FILES)("of %s says the same as the one that is decoded at each start", (name, wanted) => {
    const made = ready(name, wanted);
    expect(summary(made)).toEqual(summary(wanted));
    expect(summary(made).length).toBeGreaterThan(5);
  });

  test("reads and writes the same messages, binary and JSON", () => {
    const schema = messageOf(ready("job", file_belay_v1_job), JobSchema.typeName);
    const init: MessageInitShape<typeof JobSchema> = {
      jobId: "j",
      state: JobState.RUNNING,
      spec: { command: ["true"], labels: { team: "ml" }, timeout: { seconds: 3n, nanos: 5 } },
      attempts: [{ attempt: 1, metrics: { cpuCores: 0, gpus: [{ uuid: "GPU-1" }] } }],
      createTime: { seconds: 1n, nanos: 0 },
      version: 2n ** 60n,
    };
    const bytes = toBinary(JobSchema, create(JobSchema, init));
    const read = fromBinary(schema, bytes);
    expect(toBinary(schema, read)).toEqual(bytes);
    expect(toJson(schema, read)).toEqual(toJson(JobSchema, create(JobSchema, init)));
  });

  test("takes the place of every descriptor in generated code", () => {
    for (const [name] of FILES) {
      const code = fs.readFileSync(`${GENERATED}/${name}_pb.ts`, "utf8");
      const transformed = readyDescriptors().transform(code);
      expect(transformed).toContain("readyFileDesc({");
      expect(transformed).not.toMatch(/\bfileDesc\(/);
    }
  });

  test("has Protobuf-ES describe fields when they are asked for, and not build when it does that in another way", () => {
    const file = "node_modules/@bufbuild/protobuf/dist/esm/registry.js";
    const plugin = readyDescriptors();
    const transformed = plugin.transform(fs.readFileSync(file, "utf8"), path.resolve(file)) ?? "";
    expect(transformed.match(/describeWhenAsked\((message|child), \(\) => addFields\(/g)).toHaveLength(2);
    expect(() => plugin.transform("addFields(message, reg);", path.resolve(file))).toThrow(
      "described in 0 places: expected 2",
    );
  });

  test("leaves other code alone", () => {
    expect(readyDescriptors().transform("export const fileDesc = (x) => x; fileDesc(x);")).toBeUndefined();
  });
});

describe("Fields that are described when they are asked for", () => {
  test.each(["fields", "field", "oneofs", "members"] as const)("are all there when the %s are", (part) => {
    const message = { ...JobSchema, fields: [], field: {}, oneofs: [], members: [] } as DescMessage;
    let times = 0;
    describeWhenAsked(message, () => {
      times += 1;
      message.fields.push(...JobSchema.fields);
      Object.assign(message.field, JobSchema.field);
      message.oneofs.push(...JobSchema.oneofs);
      message.members.push(...JobSchema.members);
    });
    expect(times).toBe(0);
    expect(message[part]).toEqual(JobSchema[part]);
    expect({ ...message }).toEqual({ ...JobSchema });
    expect(times).toBe(1);
  });
});

function ready(name: string, { dependencies }: DescFile): DescFile {
  const code = fs.readFileSync(`${GENERATED}/${name}_pb.ts`, "utf8");
  const base64 = /fileDesc\(\s*"([^"]+)"/.exec(code)?.[1] ?? "";
  const fields = JSON.parse(JSON.stringify(setFieldsOfFile(base64))) as ReturnType<typeof setFieldsOfFile>;
  return readyFileDesc(fields, SHAPES, dependencies);
}

function messageOf(file: DescFile, typeName: string): DescMessage {
  for (const type of nestedTypes(file)) if (type.kind === "message" && type.typeName === typeName) return type;
  throw new Error(`No message "${typeName}"`);
}

/** All that decides how messages are read and written. */
function summary(file: DescFile): unknown[] {
  return [...nestedTypes(file)].map((type) => {
    if (type.kind === "message") {
      const fields = type.fields.map((field) => Object.entries(field).map(([key, value]) => [key, plain(value)]));
      return { type: type.typeName, fields, oneofs: type.oneofs.map((oneof) => oneof.localName) };
    }
    if (type.kind === "enum") return { type: type.typeName, open: type.open, values: type.values.map(String) };
    if (type.kind === "service") {
      const methods = type.methods.map((method) => [String(method), method.methodKind, method.localName]);
      return { type: type.typeName, methods };
    }
    return { type: type.typeName };
  });
}

/** References to other descriptors are compared by name, and functions by their results. */
function plain(value: unknown): unknown {
  if (typeof value === "function") return String(Reflect.apply(value, { toString: () => "" }, []));
  return typeof value === "object" && value !== null ? Reflect.apply(Object(value).toString, value, []) : value;
}

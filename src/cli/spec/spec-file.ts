import { readFile } from "node:fs/promises";
import type { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { fromJson } from "@bufbuild/protobuf";
import { LineCounter, parseDocument } from "yaml";
import { BelayError, messageOf } from "../../base/errors.ts";
import { fileProblem } from "../../base/files/file-problem.ts";
import { MiB } from "../../base/text/sizes.ts";
import { formatSize } from "../../contract/sizes.ts";
import type { JobSpec } from "../../gen/belay/v1/job_pb.ts";
import { JobSpecSchema } from "../../gen/belay/v1/job_pb.ts";
import { utf8Problem } from "../flags/flag-file.ts";
import { yamlProblem } from "../flags/yaml-problem.ts";
import { specError } from "./spec-error.ts";
import { messageValue } from "./spec-value.ts";

/** Largest spec file; a message to the tracker is at most 4 MiB. */
const MAX_SPEC_BYTES = 1 * MiB;

/**
 * Reads a job's spec from a file; `-` is standard input.
 *
 * @throws BelayError `BAD_SPEC`
 */
export async function readSpecFile(path: string, stdin: Readable): Promise<JobSpec> {
  const name = path === "-" ? "standard input" : path;
  let bytes: Buffer;
  try {
    bytes = path === "-" ? await buffer(stdin) : await readFile(path);
  } catch (error) {
    throw new BelayError("BAD_SPEC", `Cannot read the spec ${name}: ${fileProblem(error)}`, { cause: error });
  }
  if (bytes.length > MAX_SPEC_BYTES) {
    const found = formatSize(bytes.length);
    throw new BelayError("BAD_SPEC", `Cannot use the spec ${name}: expected at most 1 MiB, found ${found}`);
  }
  const problem = utf8Problem(bytes);
  if (problem !== undefined) throw new BelayError("BAD_SPEC", `Cannot use the spec ${name}: ${problem}`);
  return parseSpec(bytes.toString("utf8"), name);
}

/**
 * Reads a job's spec in YAML; JSON is YAML.
 *
 * @param name of the text in an error
 * @throws BelayError `BAD_SPEC`
 */
export function parseSpec(text: string, name: string): JobSpec {
  const lines = new LineCounter();
  const source = { name, lines };
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, merge: true });
  const [problem] = document.errors;
  if (problem !== undefined) throw specError(source, problem.pos[0], [], yamlProblem(problem));
  if (document.contents === null) throw specError(source, 0, [], "it is empty");
  const json = messageValue(JobSpecSchema, document.contents, [], source);
  try {
    return fromJson(JobSpecSchema, json);
  } catch (error) {
    // A value is out of its field's range, which `messageValue` does not check.
    throw new BelayError("BAD_SPEC", `Cannot use the spec ${name}: ${messageOf(error)}`, { cause: error });
  }
}

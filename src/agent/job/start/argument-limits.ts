import fs from "node:fs";
import { KiB, MiB } from "../../../base/text/sizes.ts";
import { elide } from "../../../base/text/elide.ts";
import { SpawnFailureKind } from "../../../gen/belay/v1/job_pb.ts";
import { SpawnProblem } from "./spawn-problem.ts";

/** Most bytes of one argument, or of one variable with its name: MAX_ARG_STRLEN less the NUL at its end (execve(2)). */
const MOST_OF_ONE = 128 * KiB - 1;
/** Most bytes of all together, however large the stack may be: three quarters of 8 MiB. */
const MOST_OF_ALL: number = 6 * MiB;
/** This many are always possible (ARG_MAX). */
const LEAST_OF_ALL = 128 * KiB;
/** Each argument and variable costs a NUL and a pointer in addition. */
const COST_OF_EACH = 9;
/** Most bytes that UTF-8 needs for one unit of a JavaScript text. */
const BYTES_OF_UNIT = 3;

/**
 * Finds what the kernel would refuse with E2BIG, which does not say which text was too long. On systems other than Linux
 * nothing is known beforehand.
 */
export function argumentsProblem(
  argv: readonly string[],
  environment: Readonly<Record<string, string>>,
): SpawnProblem | undefined {
  if (process.platform !== "linux") return undefined;
  const [file = ""] = argv;
  const texts = [...argv, ...Object.entries(environment).map(([name, value]) => `${name}=${value}`)];
  const units = texts.reduce((sum, text) => sum + text.length, 0);
  // The usual case, decided without counting bytes.
  if ((units + COST_OF_EACH * texts.length) * BYTES_OF_UNIT <= LEAST_OF_ALL) return undefined;
  const sizes = texts.map((text) => Buffer.byteLength(text));
  const nameOf = (index: number): string =>
    index < argv.length ? `argument ${index}` : variableName(texts[index] ?? "");
  const tooLong = sizes.findIndex((size) => size > MOST_OF_ONE);
  if (tooLong >= 0) {
    return problem(
      file,
      `${nameOf(tooLong)} has ${sizes[tooLong]} bytes, of which the kernel takes at most ${MOST_OF_ONE}`,
    );
  }
  const all = sizes.reduce((sum, size) => sum + size + COST_OF_EACH, 0);
  const most = mostOfAll();
  if (all <= most) return undefined;
  const largest = sizes.indexOf(Math.max(...sizes));
  return problem(
    file,
    `arguments and environment have ${all} bytes, of which the kernel takes at most ${most} (a quarter of "ulimit -s"); ` +
      `the largest, ${nameOf(largest)}, has ${sizes[largest]}`,
  );
}

function problem(file: string, what: string): SpawnProblem {
  const message = `Cannot start "${elide(file, 200)}": ${what} (E2BIG)`;
  return new SpawnProblem(SpawnFailureKind.ARGUMENTS_TOO_LONG, file, "E2BIG", message);
}

function variableName(text: string): string {
  return `variable "${elide(text.slice(0, text.indexOf("=")), 100)}"`;
}

/** What all arguments and variables may have together (execve(2), "Limits on size of arguments and environment"). */
function mostOfAll(): number {
  const stack = /^Max stack size\s+(\d+|unlimited)/m.exec(fs.readFileSync("/proc/self/limits", "utf8"))?.[1];
  const quarter = stack === undefined || stack === "unlimited" ? MOST_OF_ALL : Math.floor(Number(stack) / 4);
  return Math.max(LEAST_OF_ALL, Math.min(MOST_OF_ALL, quarter));
}

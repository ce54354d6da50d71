import { Readable } from "node:stream";
import { main } from "../../src/cli/program.ts";
import { MemoryOutput } from "../cli/memory-output.ts";

/** Runs a command of the command line in this process, to its end. */
export async function runInProcess(
  argv: readonly string[],
  env: Record<string, string> = {},
): Promise<{ code: number; stdout: string; stderr: string }> {
  const stdout = new MemoryOutput();
  const stderr = new MemoryOutput();
  const { code } = await main(argv, { stdout, stderr, stdin: Readable.from([]), env });
  return { code, stdout: stdout.text, stderr: stderr.text };
}

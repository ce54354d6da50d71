import { formatSize } from "../../base/sizes.ts";
import { checkDirectory } from "../../tracker/store/check/check.ts";
import { EXIT_OK, EXIT_PROBLEMS } from "../process/exit-codes.ts";
import type { Io } from "../process/io.ts";

/** `belay tracker check`: prints what was found, one thing a line. @returns the exit code */
export async function checkCommand(directory: string, repair: boolean, io: Io): Promise<number> {
  const { jobs, logs, bytes, findings } = await checkDirectory(directory, repair);
  for (const { severity, where, what, repaired } of findings) {
    await io.stdout.write(`${severity}: ${where}: ${what}${repaired === undefined ? "" : `; ${repaired}`}\n`);
  }
  const problems = findings.filter((finding) => finding.severity === "problem");
  const left = problems.filter((finding) => finding.repaired === undefined).length;
  const verdict = problems.length === 0 ? "nothing is missing" : `${problems.length} problems, ${left} not repaired`;
  await io.stdout.write(`${jobs} jobs, ${logs} logs of ${formatSize(bytes)}: ${verdict}\n`);
  return left === 0 ? EXIT_OK : EXIT_PROBLEMS;
}

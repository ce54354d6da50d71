import { counted } from "../../base/text/count.ts";
import { formatSize } from "../../contract/sizes.ts";
import { checkDirectory } from "../../tracker/store/check/check.ts";
import type { Command } from "../flags/command.ts";
import { command } from "../flags/command.ts";
import { grouped, toggle } from "../flags/flags.ts";
import { EXIT_OK, EXIT_PROBLEMS } from "../process/exit-codes.ts";
import type { Io } from "../process/io.ts";

/** `belay check` */
export const check: Command = command({
  name: "check",
  args: [{ name: "<directory>", help: "data directory of a tracker that is not running" }],
  about:
    "Verifies a tracker's data directory: the database, and every checksum of every log. Exits with 1 if something that " +
    "was acknowledged is missing. docs/storage.md explains each problem and its repair.",
  flags: grouped("General", {
    repair: toggle({ variable: false, help: "repair what can be repaired; deletes nothing that was acknowledged" }),
  }),
  examples: [
    ["belay check ./belay-data", "verify it"],
    ["belay check --repair ./belay-data", "verify and repair it"],
  ],
  run: ({ flags, args: [directory = ""], io }) => checkCommand(directory, flags.repair, io),
});

/** Prints what was found, one thing a line. @returns the exit code */
export async function checkCommand(directory: string, repair: boolean, io: Io): Promise<number> {
  const { jobs, logs, bytes, findings } = await checkDirectory(directory, repair);
  for (const { severity, where, what, repaired } of findings) {
    await io.stdout.write(`${severity}: ${where}: ${what}${repaired === undefined ? "" : `; ${repaired}`}\n`);
  }
  const problems = findings.filter((finding) => finding.severity === "problem");
  const left = problems.filter((finding) => finding.repaired === undefined).length;
  const verdict =
    problems.length === 0 ? "nothing is missing" : `${counted(problems.length, "problem")}, ${left} not repaired`;
  await io.stdout.write(`${jobs} jobs, ${logs} logs of ${formatSize(bytes)}: ${verdict}\n`);
  return left === 0 ? EXIT_OK : EXIT_PROBLEMS;
}

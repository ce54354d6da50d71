import fs from "node:fs";
import { delimiter, isAbsolute, join, resolve } from "node:path";
import { errnoOf } from "../../../base/errors.ts";
import { pathOfText } from "../../../base/text/system-text.ts";
import { SpawnFailureKind } from "../../../gen/belay/v1/job_pb.ts";
import { checkFormat } from "./executable-format.ts";
import { problemOf, SpawnProblem } from "./spawn-problem.ts";

/** Where execvp searches when there is no PATH. */
const DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin";

/** Checks a working directory; an exec after a failed chdir would blame the program. */
export function checkWorkingDirectory(cwd: string): SpawnProblem | undefined {
  const bad = (errno: string, text: string): SpawnProblem =>
    new SpawnProblem(
      SpawnFailureKind.BAD_WORKING_DIRECTORY,
      cwd,
      errno,
      `Cannot use the working directory "${cwd}": ${text}`,
    );
  try {
    if (!fs.statSync(pathOfText(cwd)).isDirectory()) return bad("ENOTDIR", "it is not a directory (ENOTDIR)");
    fs.accessSync(pathOfText(cwd), fs.constants.X_OK);
    return undefined;
  } catch (error) {
    const errno = errnoOf(error) ?? "";
    if (errno === "ENOENT") return bad(errno, "it does not exist (ENOENT)");
    if (errno === "EACCES") return bad(errno, "it may not be entered (EACCES)");
    return bad(errno, problemOf(error, cwd).message);
  }
}

/**
 * Finds the file that a command's first argument names, with the job's own PATH and directory, and checks that the
 * kernel can run it. What exec itself would answer often names neither the file nor the cause.
 *
 * @returns the path to execute, as execvp would pass it on
 */
export function findExecutable(name: string, cwd: string | undefined, path: string | undefined): string | SpawnProblem {
  if (name.includes("/")) return check(name, cwd) ?? name;
  const searched = path ?? DEFAULT_PATH;
  let denied: SpawnProblem | undefined;
  for (const directory of searched.split(delimiter)) {
    const candidate = directory === "" ? `./${name}` : join(directory, name);
    const problem = check(candidate.includes("/") ? candidate : `./${candidate}`, cwd);
    if (problem === undefined) return candidate.includes("/") ? candidate : `./${candidate}`;
    if (problem.kind === SpawnFailureKind.BAD_FORMAT) return problem;
    // As execvp does: a file that may not be run is remembered, and the search goes on. In a directory that may not be
    // entered, the program is simply not found.
    if (problem.kind === SpawnFailureKind.NOT_EXECUTABLE && fs.existsSync(pathOfText(from(cwd, candidate))))
      denied ??= problem;
  }
  return (
    denied ??
    new SpawnProblem(
      SpawnFailureKind.NOT_FOUND,
      name,
      "ENOENT",
      `Cannot start "${name}": no such program on PATH "${searched}" (ENOENT)`,
    )
  );
}

function check(path: string, cwd: string | undefined): SpawnProblem | undefined {
  const file = from(cwd, path);
  try {
    const stat = fs.statSync(pathOfText(file));
    if (stat.isDirectory()) {
      return new SpawnProblem(
        SpawnFailureKind.NOT_EXECUTABLE,
        path,
        "EACCES",
        `Cannot start "${path}": it is a directory (EACCES)`,
      );
    }
    fs.accessSync(pathOfText(file), fs.constants.X_OK);
    return checkFormat(file, path);
  } catch (error) {
    if (errnoOf(error) === "EACCES" && fs.existsSync(pathOfText(file))) {
      return new SpawnProblem(
        SpawnFailureKind.NOT_EXECUTABLE,
        path,
        "EACCES",
        `Cannot start "${path}": it may not be executed (EACCES)`,
      );
    }
    return problemOf(error, path);
  }
}

/** A path that is meant from a directory; from the agent's own, which may be deleted, it is used as it is. */
function from(cwd: string | undefined, path: string): string {
  return cwd === undefined || isAbsolute(path) ? path : resolve(cwd, path);
}

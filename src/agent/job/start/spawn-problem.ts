import { create } from "@bufbuild/protobuf";
import { elide } from "../../../base/text/elide.ts";
import { errnoOf } from "../../../base/errors.ts";
import { shownText } from "../../../base/text/system-text.ts";
import { type SpawnFailure, SpawnFailureKind, SpawnFailureSchema } from "../../../gen/belay/v1/job_pb.ts";

/** Characters of a path that are kept: as many as the kernel accepts. */
const MOST_PATH = 4096;
/** Characters of a message for users. */
const MOST_MESSAGE = 1000;

/** Why a step could not be started. */
export class SpawnProblem {
  readonly kind: SpawnFailureKind;
  readonly path: string;
  readonly errno: string;
  /** One sentence that names the path; of a very long one its middle is left out. */
  readonly message: string;

  constructor(kind: SpawnFailureKind, path: string, errno: string, message: string) {
    this.kind = kind;
    this.path = elide(shownText(path), MOST_PATH);
    this.errno = errno;
    this.message = elide(shownText(message), MOST_MESSAGE);
  }

  toFailure(): SpawnFailure {
    return create(SpawnFailureSchema, { kind: this.kind, path: this.path, errno: this.errno });
  }
}

const KINDS: Record<string, [SpawnFailureKind, string]> = {
  ENOENT: [SpawnFailureKind.NOT_FOUND, "no such file or directory"],
  ENOTDIR: [SpawnFailureKind.NOT_FOUND, "part of the path is not a directory"],
  EACCES: [SpawnFailureKind.NOT_EXECUTABLE, "permission denied"],
  EPERM: [SpawnFailureKind.NOT_EXECUTABLE, "operation not permitted"],
  EISDIR: [SpawnFailureKind.NOT_EXECUTABLE, "is a directory"],
  ELOOP: [SpawnFailureKind.NOT_FOUND, "too many symbolic links"],
  ENAMETOOLONG: [SpawnFailureKind.NOT_FOUND, "name too long"],
  ETXTBSY: [SpawnFailureKind.UNSPECIFIED, "text file busy: some process has it open for writing"],
  ENOEXEC: [SpawnFailureKind.BAD_FORMAT, "exec format error"],
  E2BIG: [SpawnFailureKind.ARGUMENTS_TOO_LONG, "arguments and environment are too long for the kernel"],
  EAGAIN: [SpawnFailureKind.NO_RESOURCES, "the machine has no process left"],
  ENOMEM: [SpawnFailureKind.NO_RESOURCES, "the machine has no memory left"],
  EMFILE: [SpawnFailureKind.NO_RESOURCES, "the agent has no file descriptor left"],
  ENFILE: [SpawnFailureKind.NO_RESOURCES, "the machine has no file descriptor left"],
};

/** What an error of the system means when a program is started. */
export function problemOf(error: unknown, path: string): SpawnProblem {
  const errno = errnoOf(error) ?? "";
  const [kind, text] = KINDS[errno] ?? [
    SpawnFailureKind.UNSPECIFIED,
    error instanceof Error ? error.message : String(error),
  ];
  const shown = errno === "" ? text : `${text} (${errno})`;
  return new SpawnProblem(kind, path, errno, `Cannot start "${path}": ${shown}`);
}

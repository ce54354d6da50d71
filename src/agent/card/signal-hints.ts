import { EndReason } from "../../gen/belay/v1/job_pb.ts";
import { formatSize } from "../../contract/sizes.ts";
import type { Evidence, Hint } from "./evidence.ts";

/** What a signal says about the process that it ended, where that is known. */
const MEANINGS: Readonly<Record<string, string>> = {
  SIGSEGV: "native code accessed memory that is not its own, in the program or in a library that it loaded",
  SIGBUS:
    "it accessed memory behind which there was nothing, such as a file that has become shorter, or a full /dev/shm",
  SIGABRT: "the program or its runtime ended itself with abort() because a check had failed",
  SIGILL: "it came to an instruction that the processor does not know: was it built for another one?",
  SIGFPE: "it divided a whole number by zero, or the result did not fit",
  SIGTRAP: "it came to a breakpoint, or its runtime had found an error of its own",
  SIGSYS: "it made a system call that is forbidden here (seccomp)",
  SIGPIPE: "it wrote into a pipe or socket whose reader had gone",
  SIGXCPU: "its limit of processor time (ulimit -t) was used up",
  SIGXFSZ: "a file that it wrote was going to exceed its limit of size (ulimit -f)",
};

/** The kernel ran out of memory. */
export const memoryHint: Hint = ({ result, known }) => {
  if (result.reason !== EndReason.OOM_KILLED) return undefined;
  const { memoryLimit, spec, ownEnd } = known;
  const limit = formatSize(memoryLimit);
  if ((ownEnd?.oomKills ?? 0) === 0) {
    const allowed = memoryLimit === 0 ? "" : `, which allows ${limit}`;
    return `Agent and job together needed more memory than their cgroup has${allowed}: raise its limit, or have the job use less`;
  }
  if (memoryLimit === 0) return "The machine had no memory left: have the job use less, or run it where there is more";
  return memoryLimit === Number(spec.memoryLimitBytes)
    ? `The job needed more memory than its limit of ${limit}: raise --memory-limit, or have it use less`
    : `The job needed more memory than the cgroup that it runs in allows, ${limit}: raise that limit, or have it use less`;
};

/** A signal ended the process, and none that was sent through Belay. */
export const signalHint: Hint = (evidence) => {
  const { result, signal, shellSignal } = evidence;
  if (result.signal !== "") {
    if (evidence.known.ownEnd?.sentBy === "warning") {
      return `The job does not handle ${result.signal}: have it save its work on that signal, or give another --warn-signal`;
    }
    if (signal === "") return undefined;
    const meaning = MEANINGS[signal];
    return meaning === undefined ? outsideHint(evidence) : `${signal} means that ${meaning}${pythonAdvice(evidence)}`;
  }
  if (shellSignal === "") return undefined;
  const meaning = MEANINGS[shellSignal];
  const convention = `Shells report exit code ${result.exitCode} for a program that ${shellSignal} ended`;
  return meaning === undefined ? convention : `${convention}: ${meaning}`;
};

function pythonAdvice({ program, signal, isSetup }: Evidence): string {
  if (isSetup || signal !== "SIGSEGV" || !program.startsWith("python")) return "";
  return "; with PYTHONFAULTHANDLER=1 in its environment, Python prints where";
}

function outsideHint({ signal, known: { ownEnd } }: Evidence): string | undefined {
  const what = `Something outside of Belay sent ${signal}`;
  if (signal !== "SIGKILL") return `${what}: a user, a scheduler, or the job itself`;
  if (ownEnd?.oomIsCounted === true) {
    return `${what}: a user, a scheduler, or the job itself; the kernel did not kill it for want of memory`;
  }
  return `${what}: a user, a scheduler, the job itself, or the kernel for want of memory, which is not counted here but is in its log (dmesg)`;
}

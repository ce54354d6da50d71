import fs from "node:fs";
import { pathOfText } from "../../../base/text/system-text.ts";
import { SpawnFailureKind } from "../../../gen/belay/v1/job_pb.ts";
import { SpawnProblem } from "./spawn-problem.ts";

/** How much of a file's beginning is read; an ELF file's program headers are in it. */
const HEAD_BYTES = 4096;
/** Processors (`e_machine`) whose programs a machine runs, by Node's name for it. */
const MACHINES: Record<string, readonly number[]> = { x64: [62, 3], arm64: [183, 40] };
const PT_INTERP = 3;

/**
 * Says why the kernel could not run a file, before it is tried: exec answers a missing interpreter with ENOENT, as if
 * the file itself were missing, and the C library silently passes a text without "#!" to a shell.
 *
 * @param file absolute path
 * @param shown how to call it in a message
 */
export function checkFormat(file: string, shown: string): SpawnProblem | undefined {
  if (process.platform !== "linux") return undefined;
  const head = readHead(file);
  // May be executed but not read: exec reports what is wrong.
  if (head === undefined) return undefined;
  const bad = (errno: string, text: string): SpawnProblem =>
    new SpawnProblem(SpawnFailureKind.BAD_FORMAT, shown, errno, `Cannot start "${shown}": ${text} (${errno})`);
  if (head.length >= 2 && head[0] === 0x23 && head[1] === 0x21) {
    const interpreter = /^#![ \t]*([^ \t\r\n\0]+)/.exec(head.toString("latin1"))?.[1];
    if (interpreter === undefined) return bad("ENOEXEC", 'its "#!" line names no interpreter');
    if (!fs.existsSync(interpreter)) {
      const carriage = head.toString("latin1").split("\n", 1)[0]?.endsWith("\r") === true;
      return bad("ENOENT", `its interpreter "${interpreter}${carriage ? "\\r" : ""}" does not exist`);
    }
    if (head.toString("latin1").split("\n", 1)[0]?.endsWith("\r") === true) {
      return bad("ENOENT", `its "#!" line ends in a carriage return, so "${interpreter}\\r" is looked for`);
    }
    return undefined;
  }
  if (head.length >= 64 && head.toString("latin1", 0, 4) === "\x7fELF") {
    const machines = MACHINES[process.arch];
    if (machines !== undefined && !machines.includes(head.readUInt16LE(18)) && !otherFormatsRegistered()) {
      return bad("ENOEXEC", "it is a program for another processor");
    }
    const loader = elfInterpreter(head);
    if (loader !== undefined && !fs.existsSync(loader)) return bad("ENOENT", `its loader "${loader}" does not exist`);
    return undefined;
  }
  if (otherFormatsRegistered()) return undefined;
  return bad("ENOEXEC", 'it is neither a program of this machine nor a script with a "#!" line');
}

function readHead(file: string): Buffer | undefined {
  try {
    const fd = fs.openSync(pathOfText(file), "r");
    try {
      const buffer = Buffer.alloc(HEAD_BYTES);
      return buffer.subarray(0, fs.readSync(fd, buffer, 0, HEAD_BYTES, 0));
    } finally {
      fs.closeSync(fd);
    }
  } catch {
    return undefined;
  }
}

/** The loader that a 64-bit little-endian ELF file asks for (elf(5), PT_INTERP). */
function elfInterpreter(head: Buffer): string | undefined {
  if (head[4] !== 2 || head[5] !== 1) return undefined;
  const offset = Number(head.readBigUInt64LE(32));
  const size = head.readUInt16LE(54);
  const count = head.readUInt16LE(56);
  for (let index = 0; index < count; index++) {
    const at = offset + index * size;
    if (at + 56 > head.length) return undefined;
    if (head.readUInt32LE(at) !== PT_INTERP) continue;
    const start = Number(head.readBigUInt64LE(at + 8));
    const end = start + Number(head.readBigUInt64LE(at + 32)) - 1;
    return end <= head.length && end > start ? head.toString("latin1", start, end) : undefined;
  }
  return undefined;
}

/** Whether formats are registered with the kernel (binfmt_misc), such as qemu's: then only exec can know. */
function otherFormatsRegistered(): boolean {
  try {
    return fs.readdirSync("/proc/sys/fs/binfmt_misc").some((name) => name !== "register" && name !== "status");
  } catch {
    return false;
  }
}

import { counted } from "../base/text/count.ts";
import { messageOf } from "../base/errors.ts";
import type { Signal } from "../base/process/signals.ts";
import type { Job } from "./job/types.ts";

/**
 * Passes a signal that the agent has received on to the job's processes.
 *
 * @param job undefined: none has started
 * @returns what came of it, as a sentence
 */
export async function passSignal(signal: Signal, job: Job | undefined): Promise<string> {
  const received = `The agent received ${signal}`;
  if (job === undefined) return `${received}, which was not passed on: no job has started`;
  try {
    return `${received} and passed it on to ${counted(await job.signal(signal, "agent"), "process", "processes")}`;
  } catch (error) {
    return `${received}, which was not passed on: ${messageOf(error)}`;
  }
}

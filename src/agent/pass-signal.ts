import { counted } from "../base/count.ts";
import { messageOf } from "../base/errors.ts";
import type { Signal } from "../base/signals.ts";
import type { Job } from "./job/types.ts";

/**
 * Passes a signal that the agent has received on to the job's processes.
 *
 * @returns what came of it, for the job's log
 */
export async function passSignal(signal: Signal, job: Job): Promise<string> {
  const received = `The agent received ${signal}`;
  try {
    return `${received} and passed it on to ${counted(await job.signal(signal, "agent"), "process", "processes")}`;
  } catch (error) {
    return `${received}, which was not passed on: ${messageOf(error)}`;
  }
}

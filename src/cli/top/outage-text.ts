import { clean } from "../render/clean.ts";

/** Why the tracker does not answer, without its address, which is at the top of the screen. */
export function shortMessage(message: string): string {
  return clean(message.replace(/^(?:Cannot reach the tracker|The tracker) at \S+?(?:: | did not answer: )/, ""));
}

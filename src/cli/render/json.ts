import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import { toJson } from "@bufbuild/protobuf";

/** A message of the contract as protobuf JSON on one line. */
export function jsonLine<D extends DescMessage>(desc: D, message: MessageShape<D>): string {
  return `${JSON.stringify(toJson(desc, message))}\n`;
}

import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import { toBinary, toJsonString } from "@bufbuild/protobuf";
import type { HandlerContext } from "@connectrpc/connect";
import { MiB } from "../../base/text/sizes.ts";

/** Most bytes of an answer: the clients of most libraries refuse messages of more than 4 MiB. */
export const MAX_ANSWER_BYTES: number = 3 * MiB;

/** Bytes of a message in an answer; the call decides whether that is JSON. */
export function answerBytes<D extends DescMessage>(
  desc: D,
  message: MessageShape<D>,
  { requestHeader }: Pick<HandlerContext, "requestHeader">,
): number {
  const isJson = requestHeader.get("content-type")?.includes("json") === true;
  return isJson ? Buffer.byteLength(toJsonString(desc, message)) : toBinary(desc, message).byteLength;
}

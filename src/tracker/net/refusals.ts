import type { AnyRequest, AnyResponse } from "./http.ts";
import { sendText } from "./http.ts";

/** What a method accepts. */
export interface Taken {
  readonly allowedMethods: readonly string[];
  supportedContentType(type: string): boolean;
  readonly method: { readonly name: string; readonly methodKind: string };
}

/**
 * Refuses a call by its HTTP method or content type, before anything of it is read.
 *
 * @returns whether it was refused
 */
export function refuseCall(taken: Taken, request: AnyRequest, response: AnyResponse): boolean {
  const { allowedMethods, method } = taken;
  const verb = request.method ?? "";
  if (!allowedMethods.includes(verb)) {
    const allow = allowedMethods.join(", ");
    sendText(response, 405, `${method.name} is not called by ${verb}: expected ${allow}`, { allow });
    return true;
  }
  const type = request.headers["content-type"] ?? "";
  // A GET has its message in the address, and so its form.
  if (verb === "GET" || taken.supportedContentType(type)) return false;
  const accepted = contentTypes(method.methodKind === "unary");
  const found = type === "" ? "none" : `"${type.slice(0, 100)}"`;
  const advice = `${method.name} does not accept the content type ${found}: expected ${accepted.join(", ")}`;
  sendText(response, 415, advice, { "accept-post": accepted.join(", ") });
  return true;
}

function contentTypes(unary: boolean): readonly string[] {
  const connect = unary
    ? ["application/json", "application/proto"]
    : ["application/connect+json", "application/connect+proto"];
  return [...connect, "application/grpc", "application/grpc-web"];
}

import { cors } from "@connectrpc/connect";
import type { AnyRequest, AnyResponse } from "./http.ts";

/** Seconds for which a browser need not ask again. */
const MAX_AGE_S = 7200;

/**
 * Lets pages of some origins call the tracker from a browser.
 *
 * @param origins such as `https://ci.example.org`; `*` is any
 * @returns whether the request was a preflight of a browser, which is answered now
 */
export function answerCors(origins: readonly string[], request: AnyRequest, response: AnyResponse): boolean {
  const { origin } = request.headers;
  if (typeof origin !== "string") return false;
  const allowed = origins.includes("*") || origins.includes(origin);
  if (allowed) {
    response.setHeader("access-control-allow-origin", origin);
    response.setHeader("access-control-expose-headers", cors.exposedHeaders.join());
    response.setHeader("vary", "origin");
  }
  if (request.method !== "OPTIONS" || request.headers["access-control-request-method"] === undefined) return false;
  if (allowed) {
    response.setHeader("access-control-allow-methods", cors.allowedMethods.join());
    response.setHeader("access-control-allow-headers", [...cors.allowedHeaders, "authorization"].join());
    response.setHeader("access-control-max-age", String(MAX_AGE_S));
  }
  response.statusCode = 204;
  response.end();
  return true;
}

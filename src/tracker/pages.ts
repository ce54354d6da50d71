import { VERSION } from "../base/version.ts";
import type { TokenGate } from "./net/caller.ts";
import type { AnyRequest, AnyResponse } from "./net/http.ts";
import type { PageGuard } from "./net/page-guard.ts";
import { sendText } from "./net/http.ts";
import type { Readiness } from "./readiness.ts";

/** What the pages show. */
export interface PageContext {
  readonly readiness: Readiness;
  readonly gate: TokenGate | undefined;
  readonly guard: PageGuard | undefined;
  metricsText(): string;
}

/**
 * Answers requests that do not call a service.
 *
 * | page       | says                                                                                    |
 * |------------|-----------------------------------------------------------------------------------------|
 * | `/`        | what this is                                                                            |
 * | `/healthz` | 200 while calls are accepted; 503 once the tracker stops                                    |
 * | `/readyz`  | 200 if the tracker can accept work: the store writes, the loop turns. Else 503 and why   |
 * | `/metrics` | numbers for Prometheus; with tokens, an operator's is needed                            |
 */
export function pages(context: PageContext): (request: AnyRequest, response: AnyResponse) => void {
  return (request, response) => {
    const path = request.url?.split("?", 1)[0] ?? "";
    const page = Object.hasOwn(PAGES, path) ? PAGES[path] : undefined;
    if (page === undefined) {
      sendText(response, 404, `Nothing at ${path.slice(0, 100)}. ${WHAT_THIS_IS}`);
    } else if (request.method !== "GET" && request.method !== "HEAD") {
      sendText(response, 405, `${path} is a page: expected GET, found ${request.method}`, { allow: "GET, HEAD" });
    } else {
      page(context, request, response);
    }
  };
}

const WHAT_THIS_IS =
  `This is a Belay tracker, version ${VERSION}. It answers calls such as POST /belay.v1.JobService/ListJobs, as gRPC, ` +
  "gRPC-Web or JSON, and has the pages /healthz, /readyz and /metrics.";

type Page = (context: PageContext, request: AnyRequest, response: AnyResponse) => void;

const PAGES: Readonly<Record<string, Page>> = {
  "/": (_context, _request, response) => sendText(response, 200, WHAT_THIS_IS),
  "/healthz": ({ readiness: { isServing } }, _request, response) =>
    sendText(response, isServing ? 200 : 503, isServing ? "ok" : "stopping"),
  "/readyz": (context, _request, response) => {
    // `why` never rejects.
    void context.readiness
      .why()
      .then((problem) => sendText(response, problem === undefined ? 200 : 503, problem ?? "ok"));
  },
  "/metrics": (context, request, response) => {
    if (context.gate?.isOperator(request.headers.authorization) === false) {
      sendText(response, 401, 'An operator\'s token is needed: expected the header "authorization: Bearer …"');
      return;
    }
    const foreign = context.guard?.problem(request);
    if (foreign !== undefined) {
      sendText(response, 403, foreign);
    } else {
      const type = "text/plain; version=0.0.4; charset=utf-8";
      sendText(response, 200, context.metricsText().trimEnd(), { "content-type": type });
    }
  },
};

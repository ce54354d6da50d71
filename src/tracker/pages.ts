import type { TokenGate } from "./net/caller.ts";
import type { AnyRequest, AnyResponse } from "./net/http.ts";
import type { PageGuard } from "./net/page-guard.ts";
import { sendText } from "./net/http.ts";
import type { Readiness } from "./readiness.ts";

/** What the pages that are no calls show. */
export interface PageContext {
  readonly readiness: Readiness;
  readonly gate: TokenGate | undefined;
  readonly guard: PageGuard | undefined;
  metricsText(): string;
}

/**
 * Answers what is no call of a service.
 *
 * | page       | says                                                                                    |
 * |------------|-----------------------------------------------------------------------------------------|
 * | `/healthz` | 200 while the process takes calls; 503 once it stops                                    |
 * | `/readyz`  | 200 if work can be given to it: the store takes a write, the loop turns. Else 503 and why |
 * | `/metrics` | numbers for Prometheus; with tokens, an operator's is needed                            |
 */
export function pages(context: PageContext): (request: AnyRequest, response: AnyResponse) => void {
  return (request, response) => {
    const path = request.url?.split("?", 1)[0] ?? "";
    if (path === "/healthz") {
      const { isServing } = context.readiness;
      sendText(response, isServing ? 200 : 503, isServing ? "ok" : "stopping");
    } else if (path === "/readyz") {
      // `why` never rejects.
      void context.readiness
        .why()
        .then((problem) => sendText(response, problem === undefined ? 200 : 503, problem ?? "ok"));
    } else if (path !== "/metrics") {
      sendText(response, 404, `Nothing at ${path.slice(0, 100)}: this is a Belay tracker`);
    } else if (context.gate?.isOperator(request.headers.authorization) === false) {
      sendText(response, 401, 'An operator\'s token is needed: expected the header "authorization: Bearer …"');
    } else {
      const foreign = context.guard?.problem(request);
      if (foreign !== undefined) sendText(response, 403, foreign);
      else sendText(response, 200, context.metricsText().trimEnd(), "text/plain; version=0.0.4; charset=utf-8");
    }
  };
}

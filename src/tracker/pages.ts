import { messageOf } from "../base/errors.ts";
import type { HealthState } from "./health.ts";
import type { LoopDelay } from "./metrics/gauges.ts";
import type { TokenGate } from "./net/caller.ts";
import type { AnyRequest, AnyResponse } from "./net/http.ts";
import type { PageGuard } from "./net/page-guard.ts";
import { sendText } from "./net/http.ts";
import type { Store } from "./store/types.ts";

/** A loop that stood still this long lately does not serve in time. */
const STALL_MS = 2_000;
/** Longest wait for the store. */
const PROBE_TIMEOUT_MS = 5_000;

/** What the pages that are no calls show. */
export interface PageContext {
  readonly health: HealthState;
  readonly store: Store;
  readonly loop: LoopDelay;
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
      const { isServing } = context.health;
      sendText(response, isServing ? 200 : 503, isServing ? "ok" : "stopping");
    } else if (path === "/readyz") {
      // `why` never rejects.
      void why(context).then((problem) => sendText(response, problem === undefined ? 200 : 503, problem ?? "ok"));
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

/** Why no work should be given to this tracker now. Undefined: it may be. */
async function why({ health, store, loop }: PageContext): Promise<string | undefined> {
  if (!health.isServing) return "stopping";
  const { worst } = loop;
  if (worst > STALL_MS) return `the event loop stood still for ${Math.round(worst)} ms`;
  const late = Promise.withResolvers<string>();
  const timer = setTimeout(
    () => late.resolve(`the store did not answer within ${PROBE_TIMEOUT_MS} ms`),
    PROBE_TIMEOUT_MS,
  );
  const probed = store.probe().then(
    () => undefined,
    (error: unknown) => `the store cannot be written: ${messageOf(error)}`,
  );
  return Promise.race([probed, late.promise]).finally(() => clearTimeout(timer));
}

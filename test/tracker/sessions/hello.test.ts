import { Code, createContextValues, type HandlerContext } from "@connectrpc/connect";
import { expect, test } from "vitest";
import type { OpenSessionRequest } from "../../../src/gen/belay/v1/tracker_service_pb.ts";
import { type SessionContext, SessionService } from "../../../src/tracker/sessions/session-service.ts";
import { ManualClock } from "../../helpers/manual-clock.ts";

test("A stream on which no Hello comes within ten seconds is refused", async () => {
  const clock = new ManualClock();
  const store = { condition: { onChange: () => undefined } };
  const service = new SessionService({ clock, store } as unknown as SessionContext);
  const silence: AsyncIterable<OpenSessionRequest> = {
    [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => undefined) }),
  };
  const context = { values: createContextValues() } as HandlerContext;
  const answers = service.implementation.openSession?.(silence, context) as AsyncIterable<unknown>;
  const first = answers[Symbol.asyncIterator]().next();
  let refused = false;
  first.catch(() => (refused = true));
  clock.advance(9_999);
  await new Promise((resolve) => setImmediate(resolve));
  expect(refused).toBe(false);
  clock.advance(1);
  await expect(first).rejects.toMatchObject({ code: Code.DeadlineExceeded, rawMessage: "No Hello within 10 s" });
});

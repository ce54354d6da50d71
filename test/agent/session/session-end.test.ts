import { create } from "@bufbuild/protobuf";
import { status } from "@grpc/grpc-js";
import { describe, expect, test } from "vitest";
import { endAfter, endUnadmitted } from "../../../src/agent/session/session-end.ts";
import type { StreamEnd } from "../../../src/agent/session/stream.ts";
import { parseTrackerAddresses } from "../../../src/base/network/tracker-address.ts";
import { GoodbyeReason, GoodbyeSchema } from "../../../src/gen/belay/v1/tracker_service_pb.ts";

const addresses = parseTrackerAddresses("http://a:1,http://b:1");
const [address] = addresses as [(typeof addresses)[0]];

function ended(code: status, rest: Partial<StreamEnd> = {}): StreamEnd {
  return { code, message: "because", connected: true, welcomed: false, openFor: 0, goodbye: undefined, ...rest };
}

describe("A stream's end", () => {
  test("that is retried ends no session", () => {
    expect(endAfter(ended(status.UNAVAILABLE), address, "j1", true)).toBeUndefined();
  });

  test.each([
    [
      status.UNAUTHENTICATED,
      "TRACKER_REFUSED",
      'The tracker at "http://a:1" refused job "j1": because (UNAUTHENTICATED)',
    ],
    [status.NOT_FOUND, "NOT_FOUND", 'The tracker at "http://a:1" refused job "j1": because (NOT_FOUND)'],
    [status.UNIMPLEMENTED, "TRACKER_REFUSED", 'No tracker is at "http://a:1": because (UNIMPLEMENTED)'],
  ])("with status %i, before Welcome, says %s and why", (code, word, message) => {
    expect(endAfter(ended(code), address, "j1", false)).toMatchObject({
      kind: "refused",
      error: { code: word, message },
    });
  });

  test("with Goodbye SUPERSEDED fences the session, whatever its code", () => {
    const goodbye = create(GoodbyeSchema, { reason: GoodbyeReason.SUPERSEDED, message: "attempt 2 runs" });
    expect(endAfter(ended(status.OK, { goodbye }), address, "j1", true)).toMatchObject({
      kind: "fenced",
      error: { code: "SUPERSEDED", message: `Job "j1" is no longer this agent's: attempt 2 runs` },
    });
  });
});

describe("A session that no tracker admitted", () => {
  const facts = { jobId: "j1", addresses, within: 5000, greeting: false, last: undefined };
  test.each([
    ["no tracker answered", {}, 'No tracker answered at "http://a:1", "http://b:1" within 5.0s: nothing was heard'],
    [
      "no connection was had",
      { last: ended(status.UNAVAILABLE, { connected: false, message: "connect ECONNREFUSED" }) },
      'No tracker answered at "http://a:1", "http://b:1" within 5.0s: connect ECONNREFUSED',
    ],
    [
      "Hello was not answered",
      { greeting: true },
      'No tracker let the agent in at "http://a:1", "http://b:1" within 5.0s: Hello was not answered',
    ],
    [
      "a tracker failed each time",
      { last: ended(status.INTERNAL) },
      'No tracker let the agent in at "http://a:1", "http://b:1" within 5.0s: because (INTERNAL)',
    ],
  ])("says that %s", (_, what, message) => {
    const end = endUnadmitted({ ...facts, ...what });
    expect(end).toMatchObject({ kind: "unreachable", error: { code: "TRACKER_UNREACHABLE", message } });
  });

  test("names the session that has the job", () => {
    const last = ended(status.ALREADY_EXISTS, { message: "Session s0 has it" });
    expect(endUnadmitted({ ...facts, last })).toMatchObject({
      error: { code: "JOB_TAKEN", message: 'Job "j1" was not free within 5.0s: Session s0 has it' },
    });
  });
});

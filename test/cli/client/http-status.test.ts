import { expect, test } from "vitest";
import { isPassing } from "../../../src/cli/client/http-status.ts";

test("The statuses of a proxy without its tracker are worth another attempt; those of another server are not", () => {
  const passing = [408, 425, 429, 500, 502, 503, 504, 507, 520, 529];
  expect(passing.filter((status) => !isPassing(status))).toEqual([]);
  expect([200, 204, 301, 400, 401, 403, 404, 405, 415, 501, 505, Number.NaN].filter(isPassing)).toEqual([]);
});

import { expect, test } from "vitest";
import { planRungs } from "../../../../src/agent/job/end/rungs.ts";

const spec = { grace: 10, warning: 30 };

test.each([
  { title: "an order without a bound grants both times", bound: undefined, ...spec, stop: 30, kill: 40 },
  {
    title: "a job without a warning is asked to end at once",
    bound: undefined,
    grace: 10,
    warning: 0,
    stop: 0,
    kill: 10,
  },
  { title: "a shorter bound takes the time from the warning", bound: 25, ...spec, stop: 15, kill: 25 },
  { title: "a bound as short as the grace period leaves no warning", bound: 10, ...spec, stop: 0, kill: 10 },
  { title: "a shorter bound than that shortens the grace period", bound: 4, ...spec, stop: 0, kill: 4 },
  { title: "a bound of 0 kills at once", bound: 0, ...spec, stop: 0, kill: 0 },
  { title: "a longer bound lengthens the grace period, not the warning", bound: 600, ...spec, stop: 30, kill: 600 },
  { title: "without a grace period, a bound is the warning's", bound: 20, grace: 0, warning: 30, stop: 20, kill: 20 },
])("$title", ({ bound, grace, warning, stop, kill }) => {
  expect(planRungs({ bound, grace, warning })).toEqual({ stop, kill });
});

import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import type { Event } from "../../../../src/gen/belay/v1/tracker_service_pb.ts";
import { EventSchema } from "../../../../src/gen/belay/v1/tracker_service_pb.ts";
import { sampleOf } from "../../../../src/tracker/store/points/merge.ts";
import { Thinner } from "../../../../src/tracker/store/points/thinner.ts";

function thinned(times: readonly number[], wanted: number): { times: number[]; samples: number } {
  const events = times.map(
    (time, i): Event =>
      create(EventSchema, {
        sequence: BigInt(i + 1),
        kind: { case: "metricSample", value: { sampleUnixNano: BigInt(time), memoryBytes: BigInt(i) } },
      }),
  );
  const thinner = new Thinner(events.length, wanted, [...events.slice(0, 1), ...events.slice(-1)]);
  const out = [...events.flatMap((event) => thinner.push(event)), ...thinner.end()].map(sampleOf);
  return {
    times: out.map((sample) => Number(sample?.sampleUnixNano)),
    samples: out.reduce((sum, sample) => sum + Number(sample?.merged?.samples ?? 1), 0),
  };
}

test.each<[string, number[], number, number[]]>([
  ["all that there are, if they are few", [0, 1, 2], 3, [0, 1, 2]],
  ["all, if no number is given", [0, 1, 2, 3], 0, [0, 1, 2, 3]],
  ["as many stretches of time, the last of each", [0, 1, 2, 3, 4, 5, 6, 7], 4, [1, 3, 5, 7]],
  ["fewer where there is nothing for a while", [0, 1, 2, 3, 100], 4, [3, 100]],
  ["one for everything", [0, 1, 2, 3], 1, [3]],
  ["in order, even if the clock went back", [0, 50, 10, 60, 100], 2, [10, 100]],
  ["one if the clock went back behind the first", [100, 50, 60, 10], 3, [10]],
  ["none of none", [], 5, []],
])("A series is thinned to %s", (_, times, wanted, expected) => {
  const out = thinned(times, wanted);
  expect(out.times).toEqual(expected);
  expect(out.samples).toBe(times.length);
});

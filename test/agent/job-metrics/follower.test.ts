import fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Follower, MOST_NOTE_BYTES } from "../../../src/agent/job-metrics/follower.ts";
import { MOST_VALUES } from "../../../src/agent/job-metrics/interval.ts";
import { createMetricsFile } from "../../../src/agent/job-metrics/make-file.ts";
import { MiB } from "../../../src/base/text/sizes.ts";
import type { JobMetrics } from "../../../src/gen/belay/v1/job_pb.ts";
import { ManualClock } from "../../helpers/manual-clock.ts";

let directory: string;
let path: string;
let clock: ManualClock;
let waiting: number;
let accepts: boolean;
let events: JobMetrics[];
let notices: string[];
let secrets: string[];
let follower: Follower;

beforeEach(() => {
  directory = fs.mkdtempSync(join(tmpdir(), "belay-test-"));
  path = join(directory, "metrics");
  clock = new ManualClock();
  waiting = 0;
  accepts = true;
  events = [];
  notices = [];
  secrets = [];
  follower = new Follower(path, createMetricsFile(path), {
    metrics: (value) => {
      if (accepts) events.push(value);
      return accepts;
    },
    notice: (message) => notices.push(message),
    text: (value) => secrets.reduce((text, secret) => text.replaceAll(secret, "***"), value),
    waiting: () => waiting,
    clock,
    environment: process.env,
  });
});
afterEach(() => fs.rmSync(directory, { recursive: true, force: true }));

const append = (text: string): void => fs.appendFileSync(path, text);
const valuesOf = (): number[] => events.flatMap(({ metrics }) => metrics.map(({ value }) => value));

describe("what a job reports is sent", () => {
  it("at most once a second, and completely", async () => {
    for (let i = 0; i < 40; i++) {
      append(`x=${i}\n`);
      await follower.poll();
      clock.advance(100);
    }
    expect(events).toHaveLength(4);
    await follower.end();
    expect(valuesOf()).toEqual(Array.from({ length: 40 }, (_, i) => i));
    expect(notices).toEqual([]);
  });

  it("less often, with no more values per event, while much waits for the tracker", async () => {
    waiting = 100_000;
    append("x=-1\n");
    await follower.poll();
    for (let minute = 0; minute < 20; minute++) {
      append(Array.from({ length: 1000 }, (_, i) => `x=${i}\n`).join(""));
      clock.advance(60_000);
      await follower.poll();
    }
    expect(events).toHaveLength(3);
    expect(valuesOf()).toEqual([-1, 0, 999, 999, 0, 999, 999]);
    await follower.end();
    expect(notices).toEqual([expect.stringMatching(/^\d+ values of \$BELAY_METRICS came too fast and were thinned/)]);
  });

  it("at once when a step ends, and is counted when there is no room for it", async () => {
    append("x=1\n");
    await follower.settle();
    append("x=2\nprogress=0.5\n");
    accepts = false;
    await follower.settle();
    accepts = true;
    expect(valuesOf()).toEqual([1]);
    await follower.end();
    // Progress is what is, not what was: it is said as soon as there is room.
    expect(events.at(-1)?.progress?.fraction).toBe(0.5);
    expect(notices).toEqual([expect.stringMatching(/^1 values? of/)]);
  });

  it("not at all when there is nothing new", async () => {
    await follower.poll();
    append("# nothing\n\n");
    clock.advance(5000);
    await follower.poll();
    await follower.end();
    expect(events).toEqual([]);
  });
});

describe("a text for users", () => {
  it("is truncated between two characters when a note is long", async () => {
    append(`note="x${"€".repeat(200)}"\n`);
    await follower.end();
    expect(events[0]?.progress?.note).toBe(`x${"€".repeat(84)}…`);
    expect(Buffer.byteLength(events[0]?.progress?.note ?? "")).toBe(MOST_NOTE_BYTES);
  });

  it("has its secrets removed before it is truncated", async () => {
    const secret = "s3cret".repeat(10);
    secrets.push(secret);
    append(`note="${"x".repeat(MOST_NOTE_BYTES - 10)}${secret}"\n`);
    append(`${secret}\n`);
    await follower.end();
    expect(events[0]?.progress?.note).toBe(`${"x".repeat(MOST_NOTE_BYTES - 10)}***`);
    expect(notices).toEqual([
      'A line of $BELAY_METRICS is skipped: expected name=value, found "***", in "***". More such lines are only counted',
    ]);
  });

  it("quotes a bad line that would be good without its secret", async () => {
    secrets.push("x y");
    append("x y=1\n");
    await follower.end();
    expect(notices.join()).not.toContain("x y");
  });
});

describe("at the end, the log says exactly what was left out", () => {
  const lines = (names: number, values: number): string =>
    Array.from({ length: names * values }, (_, i) => `n${i % names}=${i}\n`).join("");

  it.each([
    [
      lines(1, 1000),
      "998 values of $BELAY_METRICS came too fast and were thinned: first, last, least and greatest of each name were kept",
    ],
    [lines(200, 2), "200 values of $BELAY_METRICS came too fast and were thinned: of each name, the last one was kept"],
    [
      lines(300, 2),
      "256 values of $BELAY_METRICS came too fast and were thinned: of each name, the last one was kept|" +
        "88 values of $BELAY_METRICS were dropped, of 44 names: an event holds 256 names, and these came later",
    ],
    [
      lines(100_000, 1),
      "99744 values of $BELAY_METRICS were dropped, of at least 4096 names: an event holds 256 names, and these came later",
    ],
  ])("%#", async (text, expected) => {
    append(text);
    await follower.end();
    expect(notices.join("|")).toBe(expected);
  });
});

describe("a job that writes endlessly", () => {
  it("is read at most 2 MiB a poll, and thinned to a bounded event", async () => {
    const lines = Buffer.from("loss=0.25 acc=0.5\n".repeat(400_000));
    fs.writeFileSync(path, lines);
    await follower.poll();
    expect(events).toHaveLength(1);
    expect(events[0]?.metrics.length).toBeLessThanOrEqual(MOST_VALUES);
    let polls = 1;
    for (; ; polls++) {
      clock.advance(1000);
      await follower.poll();
      if (events.length === polls) break;
    }
    expect(polls).toBe(Math.ceil(lines.length / (2 * MiB)));
    await follower.end();
    const kept = valuesOf().length;
    expect(notices).toEqual([expect.stringMatching(new RegExp(`^${800_000 - kept} values`))]);
  });

  it("faster than the agent reads loses its oldest lines, and no line is split", async () => {
    const before = "a=1\n";
    const hole = 20 * MiB;
    append(before);
    await follower.poll();
    fs.truncateSync(path, before.length + hole);
    append("\nb=2\n");
    await follower.end();
    expect(valuesOf()).toEqual([1, 2]);
    expect(notices[0]).toMatch(/^4\.0 MiB of \$BELAY_METRICS were skipped/);
  });
});

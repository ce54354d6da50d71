import fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { AgentOptions } from "../../../src/agent/options.ts";
import { runAgent } from "../../../src/agent/run.ts";
import { MetricsFile } from "../../../src/agent/job-metrics/metrics-file.ts";
import { systemClock } from "../../../src/base/clock.ts";
import { type JobMetrics, JobSpecSchema, LogStream, Outcome } from "../../../src/gen/belay/v1/job_pb.ts";
import { type ScriptedStream, ScriptedTracker } from "../../helpers/scripted-tracker.ts";

let tracker: ScriptedTracker;
let directory: string;
beforeEach(async () => {
  tracker = await ScriptedTracker.start();
  directory = fs.mkdtempSync(join(tmpdir(), "belay-test-"));
});
afterEach(() => {
  tracker.close();
  fs.rmSync(directory, { recursive: true, force: true });
});

/** What a job said, and what its agent remarked. */
interface ScriptRun {
  readonly events: JobMetrics[];
  readonly notices: string;
  /** Kinds of events, in order. */
  readonly kinds: string[];
  readonly stdout: string;
}

/** Runs a shell script to its success under an agent. `$T` is a directory of the test. */
async function runScript(
  script: string,
  options: Partial<AgentOptions> & { setup?: string[] } = {},
): Promise<ScriptRun> {
  const { setup = [], ...rest } = options;
  const spec = create(JobSpecSchema, {
    command: ["sh", "-c", script],
    setup: setup.map((run) => ({ run })),
    environment: { T: directory },
    metricsInterval: durationFromMs(0),
  });
  const outcome = runAgent({ tracker: tracker.url, jobId: "j1", spec, ...rest });
  const stream = await tracker.stream();
  stream.welcome();
  stream.behave();
  const { result } = await outcome;
  expect(result).toMatchObject({ outcome: Outcome.SUCCEEDED });
  return {
    events: eventsOf(stream).flatMap(({ kind }) => (kind.case === "jobMetrics" ? [kind.value] : [])),
    notices: textOf(stream, LogStream.AGENT),
    kinds: eventsOf(stream).map(({ kind }) => kind.case ?? ""),
    stdout: textOf(stream, LogStream.STDOUT),
  };
}

function eventsOf(stream: ScriptedStream) {
  return stream.received.flatMap((payload) => (payload.case === "event" ? [payload.value] : []));
}

function textOf(stream: ScriptedStream, wanted: LogStream): string {
  return stream.received
    .flatMap((payload) => (payload.case === "logBatch" ? payload.value.chunks : []))
    .flatMap((chunk) => (chunk.stream === wanted && chunk.content.case === "data" ? [chunk.content.value] : []))
    .map((data) => Buffer.from(data).toString())
    .join("");
}

/** `loss=0.5@10` for each value, in order. */
function valuesOf({ events }: ScriptRun): string[] {
  return events
    .flatMap(({ metrics }) => metrics)
    .map(({ name, value, step }) => `${name}=${value}${step === undefined ? "" : `@${step}`}`);
}

function progressOf({ events }: ScriptRun): string[] {
  return events.flatMap(({ progress }) => (progress === undefined ? [] : [`${progress.fraction} ${progress.note}`]));
}

describe("what a job appends to $BELAY_METRICS reaches the tracker", () => {
  it("from a shell's echo, before the result, and with a last line that has no newline", async () => {
    const ran = await runScript(`
      echo "loss=0.5 step=10 acc=0.9" >> "$BELAY_METRICS"
      echo 'progress=0.42 note="epoch 3/10"' >> "$BELAY_METRICS"
      printf 'loss=0.25 step=11' >> "$BELAY_METRICS"`);
    expect(valuesOf(ran)).toEqual(["loss=0.5@10", "acc=0.9@10", "loss=0.25@11"]);
    expect(progressOf(ran)).toEqual(["0.42 epoch 3/10"]);
    expect(ran.kinds.indexOf("jobMetrics")).toBeLessThan(ran.kinds.indexOf("result"));
    expect(ran.notices).toBe("");
  });

  it("while it runs", async () => {
    const spec = create(JobSpecSchema, {
      command: ["sh", "-c", `echo loss=1 >> "$BELAY_METRICS"; until [ -e "$T/seen" ]; do sleep 0.05; done`],
      environment: { T: directory },
    });
    const outcome = runAgent({ tracker: tracker.url, jobId: "j1", spec });
    const stream = await tracker.stream();
    stream.welcome();
    stream.behave();
    for (let kind = ""; kind !== "jobMetrics"; ) kind = (await stream.next("event")).kind.case ?? "";
    fs.writeFileSync(join(directory, "seen"), "");
    expect((await outcome).result).toMatchObject({ outcome: Outcome.SUCCEEDED });
  });

  it("from python without a library, through a file that it holds open", async () => {
    const script = `
import os
with open(os.environ["BELAY_METRICS"], "a", buffering=1) as metrics:
    for step in range(3):
        print(f"train/loss={1 / (step + 1)} step={step}", file=metrics)
    print(f"grad={float('nan')}", file=metrics)
`;
    const ran = await runScript(`python3 -c '${script.replaceAll("'", `'\\''`)}'`);
    expect(valuesOf(ran)).toEqual(["train/loss=1@0", "train/loss=0.5@1", `train/loss=${1 / 3}@2`, "grad=NaN"]);
  });

  it("from many processes at once, each line whole", async () => {
    const ran = await runScript(`
      for p in 1 2 3 4 5 6 7 8; do
        (i=0; while [ $i -lt 300 ]; do i=$((i+1)); echo "p$p=$i step=$i" >> "$BELAY_METRICS"; done) &
      done; wait`);
    const last = new Map(ran.events.flatMap(({ metrics }) => metrics).map(({ name, value }) => [name, value]));
    expect(Object.fromEntries(last)).toEqual(Object.fromEntries([1, 2, 3, 4, 5, 6, 7, 8].map((p) => [`p${p}`, 300])));
    expect(ran.notices).not.toContain("skipped");
    expect(ran.notices).toContain("were thinned");
  });

  it("from setup steps, even if the next one empties the file", async () => {
    const ran = await runScript(`echo c=3 > "$BELAY_METRICS"`, {
      setup: [`echo a=1 >> "$BELAY_METRICS"`, `echo b=2 > "$BELAY_METRICS"`],
    });
    expect(valuesOf(ran)).toEqual(["a=1", "b=2", "c=3"]);
  });

  it.skipIf(process.getuid?.() !== 0)("from a job that has given up root", async () => {
    const ran = await runScript(
      `setpriv --reuid=65534 --clear-groups sh -c 'echo a=1 >> "$BELAY_METRICS"; ls "$(dirname "$BELAY_METRICS")" || cat "$BELAY_METRICS" || true'`,
    );
    expect(valuesOf(ran)).toEqual(["a=1"]);
    // What it does not know it cannot find out.
    expect(ran.stdout).toBe("");
  });

  it("and the file is removed", async () => {
    const { stdout } = await runScript(`dirname "$BELAY_METRICS"`);
    expect(stdout).toContain(join(tmpdir(), "belay-"));
    expect(fs.existsSync(stdout.trim())).toBe(false);
  });
});

describe("progress", () => {
  it("and its note each stay until the job sets them again", async () => {
    const ran = await runScript("true", {
      setup: [
        `echo 'note="loading"' >> "$BELAY_METRICS"`,
        `echo 'progress=0 note=loading' >> "$BELAY_METRICS"`,
        `echo 'progress=10%' >> "$BELAY_METRICS"; echo 'progress=50%' >> "$BELAY_METRICS"`,
        `echo 'note=""' >> "$BELAY_METRICS"`,
      ],
    });
    expect(progressOf(ran)).toEqual(["0 loading", "0.5 loading", "0.5 "]);
  });

  it("has no secrets in its note, nor in a line that is quoted", async () => {
    const ran = await runScript(
      `echo 'progress=0.5 note="with hunter2-hunter2"' >> "$BELAY_METRICS"; echo hunter2-hunter2 >> "$BELAY_METRICS"; echo hunter2-hunter2=1 >> "$BELAY_METRICS"`,
      { environment: { ...process.env, DB_PASSWORD: "hunter2-hunter2" } },
    );
    expect(progressOf(ran)).toEqual(["0.5 with ***"]);
    expect(JSON.stringify(valuesOf(ran)) + ran.notices).not.toContain("hunter2");
    expect(ran.notices).toContain("is skipped");
  });
});

describe("a job that misuses the file harms nothing", () => {
  it("when lines are bad: the first is quoted, the others are counted, and good lines around them are kept", async () => {
    const ran = await runScript(`
      echo a=1 >> "$BELAY_METRICS"
      for i in 1 2 3; do echo "loss = $i" >> "$BELAY_METRICS"; done
      head -c 100000 /dev/zero >> "$BELAY_METRICS"
      echo >> "$BELAY_METRICS"; echo b=2 >> "$BELAY_METRICS"`);
    expect(valuesOf(ran)).toEqual(["a=1", "b=2"]);
    expect(ran.notices).toBe(
      'A line of $BELAY_METRICS is skipped: expected name=value, found "loss", in "loss = 1". More such lines are only counted\n' +
        "4 lines of $BELAY_METRICS were skipped\n",
    );
  });

  it("when it removes and makes it again, replaces it or empties it", async () => {
    const ran = await runScript(`echo d=4 > "$BELAY_METRICS"`, {
      setup: [
        `echo a=1 >> "$BELAY_METRICS"; rm "$BELAY_METRICS"`,
        `echo b=2 >> "$BELAY_METRICS"`,
        `echo c=3 > "$T/new"; mv "$T/new" "$BELAY_METRICS"`,
      ],
    });
    expect(valuesOf(ran)).toEqual(["a=1", "b=2", "c=3", "d=4"]);
    expect(ran.notices).toBe("");
  });

  it.each([
    ["a directory", `rm "$BELAY_METRICS"; mkdir "$BELAY_METRICS"`],
    ["a named pipe", `rm "$BELAY_METRICS"; mkfifo "$BELAY_METRICS"`],
    ["a symbolic link", `ln -sf /dev/zero "$BELAY_METRICS"`],
  ])("replaced by %s", async (what, script) => {
    const ran = await runScript(`${script}; echo done`);
    expect(ran.stdout).toBe("done\n");
    expect(ran.notices).toBe(`Cannot read $BELAY_METRICS: it is ${what}. It is read again when a file is there\n`);
  });

  it("when it writes as fast as it can: its output is complete, its events are few and small", async () => {
    const begin = performance.now();
    const ran = await runScript(`
      (yes "loss=0.25 acc=0.5 step=7" | head -n 300000 >> "$BELAY_METRICS"; echo loss=1 >> "$BELAY_METRICS") &
      seq 1 200000; wait`);
    const seconds = (performance.now() - begin) / 1000;
    expect(ran.stdout).toBe(Array.from({ length: 200_000 }, (_, i) => `${i + 1}\n`).join(""));
    expect(ran.events.length).toBeLessThan(seconds + 3);
    expect(valuesOf(ran).length).toBeLessThanOrEqual(ran.events.length * 8);
    expect(valuesOf(ran).at(-1)).toBe("loss=1");
    expect(ran.notices).toMatch(/^\d+ values of \$BELAY_METRICS came too fast/);
  });

  it("when it makes it look larger than the disk", async () => {
    const ran = await runScript(
      `truncate -s 1T "$BELAY_METRICS"; echo >> "$BELAY_METRICS"; echo a=1 >> "$BELAY_METRICS"`,
    );
    expect(valuesOf(ran)).toEqual(["a=1"]);
    expect(ran.notices).toMatch(/^1\.0 TiB of \$BELAY_METRICS were skipped/);
  });

  it.each([
    ["removed", "true"],
    ["replaced by a file", `touch "$d"`],
    ["replaced by a link to itself", `ln -s "$d" "$d"`],
  ])("with its whole directory %s", async (_, script) => {
    const ran = await runScript(`d="$(dirname "$BELAY_METRICS")"; rm -rf "$d"; ${script}; sleep 1.2; echo "$d"`);
    expect(fs.lstatSync(ran.stdout.trim(), { throwIfNoEntry: false })).toBeUndefined();
  });
});

describe("what a job reports while the tracker is away", () => {
  it("waits, and arrives when the tracker is back", async () => {
    const spec = create(JobSpecSchema, {
      command: ["sh", "-c", `until [ -e "$T/off" ]; do sleep 0.05; done; echo a=1 >> "$BELAY_METRICS"`],
      environment: { T: directory },
    });
    const outcome = runAgent({ tracker: tracker.url, jobId: "j1", spec });
    const first = await tracker.stream();
    first.welcome();
    for (let kind = ""; kind !== "stepStarted"; ) kind = (await first.next("event")).kind.case ?? "";
    first.end();
    fs.writeFileSync(join(directory, "off"), "");
    const second = await tracker.stream();
    second.welcome();
    second.behave();
    await outcome;
    expect(eventsOf(second).map(({ kind }) => kind.case)).toContain("jobMetrics");
  });
});

describe("where the file cannot be made", () => {
  it("the job runs without it, and its log says why", async () => {
    const file = new MetricsFile(join(directory, "none", "deeper"));
    expect(file.environment).toEqual({});
    const notices: string[] = [];
    file.begin({
      metrics: () => true,
      notice: (message) => notices.push(message),
      text: (value) => value,
      waiting: () => 0,
      clock: systemClock,
      environment: {},
    });
    expect(file.settle()).toBeUndefined();
    await file.end();
    expect(notices).toEqual([expect.stringMatching(/^Cannot make the file for \$BELAY_METRICS: ENOENT/)]);
  });
});

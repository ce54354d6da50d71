import { writeFile } from "node:fs/promises";
import path from "node:path";
import { expect, it } from "vitest";
import { tempDirectory, TrackerProcess } from "../helpers/cli.ts";

const TRAIN = `
import os
with open(os.environ["BELAY_METRICS"], "a") as said:
    for step in range(1, 5):
        said.write(f"loss={1 / step} step={step}\\n")
    said.write('progress=100% note="done"\\n')
`;

it("a job tells how far it has come and how it fares, from the shell and from python", async () => {
  const tracker = await TrackerProcess.start();
  const directory = await tempDirectory();
  const script = path.join(directory, "train.py");
  const gate = path.join(directory, "gate");
  await writeFile(script, TRAIN);
  const job = `echo 'progress=0.25 note="epoch 1/4"' >> "$BELAY_METRICS"
    until [ -e ${gate} ]; do sleep 0.05; done
    exec python3 ${script}`;
  const setup = ["--setup", `echo "rows=1200" >> "$BELAY_METRICS"`];
  const run = tracker.belay("run", "--job", "train-17", ...setup, "--", "sh", "-c", job);

  const progressOf = async (): Promise<unknown> =>
    JSON.parse((await tracker.ends("show", "--json", "train-17")).stdout || "{}").attempts?.[0]?.progress;
  while ((await progressOf()) === undefined);
  expect(await progressOf()).toMatchObject({ fraction: 0.25, note: "epoch 1/4" });
  expect((await tracker.ends("show", "train-17")).stdout).toMatch(/^ +Progress +25 %, epoch 1\/4 \(.* ago\)$/m);

  await writeFile(gate, "");
  expect(await run.ended, run.stderr).toBe(0);
  expect(await progressOf()).toMatchObject({ fraction: 1, note: "done" });

  const answer = await fetch(`${tracker.url}/belay.v1.JobService/ReadMetrics`, {
    method: "POST",
    headers: { "content-type": "application/connect+json" },
    body: envelope(JSON.stringify({ jobId: "train-17" })),
  });
  const told = (await answer.text()).match(/"name":"[a-z]+","value":[\d.]+(,"step":\d+)?/g);
  expect(told).toEqual([
    '"name":"rows","value":1200',
    '"name":"loss","value":1,"step":1',
    '"name":"loss","value":0.5,"step":2',
    `"name":"loss","value":${1 / 3},"step":3`,
    '"name":"loss","value":0.25,"step":4',
  ]);
});

/** A message of a Connect stream: flags and length before it. */
function envelope(json: string): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(Buffer.byteLength(json), 1);
  return Buffer.concat([head, Buffer.from(json)]);
}

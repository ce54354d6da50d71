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

it("A job reports its progress and its metrics, from the shell and from Python", async () => {
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

  const csv = async (name: string): Promise<string[]> => {
    const { stdout } = await tracker.ends("metrics", "--csv", "--name", name, "train-17");
    return stdout
      .trimEnd()
      .split("\n")
      .slice(1)
      .map((row) => row.slice(row.indexOf(",") + 1));
  };
  expect(await csv("rows")).toEqual(["rows,1200,"]);
  expect(await csv("loss")).toEqual(["loss,1,1", "loss,0.5,2", `loss,${1 / 3},3`, "loss,0.25,4"]);
});

import { readFileSync } from "node:fs";
import path from "node:path";
import type { Bench, Row, Stage } from "../bench.ts";

const RUNS = 10;

/** From the start of `belay run` to the job's first instruction. */
export const start: Bench = {
  name: "start",
  about: "agent start to the job's first instruction, against `node -e 0`",
  async run(stage: Stage): Promise<Row[]> {
    const ours: number[] = [];
    const reference: number[] = [];
    const whole: number[] = [];
    const after: number[] = [];
    const stamp = path.join(stage.directory, "stamp");
    for (let run = 0; run < RUNS; run++) {
      reference.push(await stage.time(process.execPath, ["-e", "0"]));
      const begin = Date.now();
      const before = performance.now();
      await stage.agent(`start-${run}`, ["sh", "-c", `date +%s%N > ${stamp}`]).ended;
      whole.push(performance.now() - before);
      const stamped = Number(BigInt(readFileSync(stamp, "utf8").trim()) / 1000n) / 1000;
      ours.push(stamped - begin);
      after.push(performance.timeOrigin + performance.now() - stamped);
    }
    return [
      {
        what: "agent start to the job's first instruction",
        ours,
        reference: { what: "node -e 0", values: reference },
        unit: "ms",
        reach: "<= 100 ms",
      },
      { what: "job's last instruction to the agent's exit", ours: after, unit: "ms", reach: "<= 50" },
      { what: "`belay run -- true`, start to exit", ours: whole, unit: "ms", reach: "" },
    ];
  },
};

import type { MessageInitShape } from "@bufbuild/protobuf";
import type { JobSpecSchema } from "../../gen/belay/v1/job_pb.ts";
import { JobState, LogCompleteness } from "../../gen/belay/v1/job_pb.ts";
import { resultText, totalsText } from "../render/job/result.ts";
import { AgentProcess } from "./agent-process.ts";
import type { SceneContext } from "./scene-context.ts";
import { expectThat, underAgent } from "./scene-context.ts";
import { SETUP, WORK } from "./scripts.ts";
import { showChanges, showHeartbeats, showLog, showMetrics } from "./watch.ts";

const JOB = "hello";

/** The first scene with a job: the job is set up, works while it is watched, and succeeds. */
export async function playHello(context: SceneContext): Promise<void> {
  const { client, address, printer } = context;
  await printer.scene("2. An agent runs a job; what it prints and uses arrives while it runs");
  await printer.typed(`belay submit --job ${JOB} --setup 'get the data' -- node work.js`);
  await client.call((jobs) => jobs.createJob({ jobId: JOB, spec: specOfWork() }));
  await printer.typed(`belay run --job ${JOB}`);
  const agent = new AgentProcess(["run", "--tracker", address, "--job", JOB, "--quiet"], context.env);
  context.onAgent(agent);
  const [job] = await underAgent(
    agent,
    Promise.all([
      showChanges(client, JOB, printer),
      showHeartbeats(client, JOB, printer),
      showLog(client, JOB, printer),
      showMetrics(client, JOB, printer),
    ]),
  );
  const code = await agent.ended;
  expectThat(job.state === JobState.SUCCEEDED && code === 0, () => `job ${JOB} failed: ${agent.remarks.trim()}`);
  const { job: decided } = await client.call((jobs) => jobs.getJob({ jobId: JOB }));
  const attempt = decided?.attempts.at(-1);
  if (decided?.result === undefined || attempt === undefined) throw new Error("An ended job has a result");
  await printer.arrived("result", `${printer.style.state(decided.state)}, ${resultText(decided.result)}`);
  const complete = attempt.logCompleteness === LogCompleteness.COMPLETE;
  expectThat(complete, () => `the log is not complete: ${attempt.logMessage}`);
  const totals = totalsText(attempt.stored);
  await printer.arrived(
    "log",
    `${printer.style.green("complete")}: ${totals}; byte counts and checksums of both sides agree`,
  );
}

function specOfWork(): MessageInitShape<typeof JobSpecSchema> {
  return {
    name: "work",
    setup: [{ name: "get the data", run: SETUP }],
    command: [process.execPath, "-e", WORK],
    metricsInterval: { seconds: 1n },
  };
}

import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { JobState } from "../../gen/belay/v1/job_pb.ts";
import type { Job } from "../../gen/belay/v1/job_pb.ts";
import { evidenceLines } from "../render/job/result.ts";
import { AgentProcess } from "./agent-process.ts";
import type { SceneContext } from "./scene-context.ts";
import { expectThat, underAgent } from "./scene-context.ts";
import { STUBBORN, STUBBORN_READY } from "./scripts.ts";
import { showChanges, showLog } from "./watch.ts";

const JOB = "stubborn";
const GRACE_MS = 1_000;

/**
 * The second scene with a job: a job that ignores SIGTERM is canceled.
 *
 * @returns ids of the job's processes
 */
export async function playStubborn(context: SceneContext): Promise<number[]> {
  const { client, address, printer } = context;
  await printer.scene("3. A stubborn job ignores SIGTERM and hides a child; a cancel ends all of it");
  await printer.typed(`belay submit --job ${JOB} -- node stubborn.js`);
  const command = [process.execPath, "-e", STUBBORN];
  await client.call((jobs) => jobs.createJob({ jobId: JOB, spec: { name: JOB, command } }));
  await printer.typed(`belay run --job ${JOB}`);
  const agent = new AgentProcess(["run", "--tracker", address, "--job", JOB, "--quiet"], context.env);
  context.onAgent(agent);

  const ready = Promise.withResolvers<void>();
  const ended = Promise.all([
    showChanges(client, JOB, printer),
    showLog(client, JOB, printer, (line) => {
      if (line.startsWith(STUBBORN_READY)) ready.resolve();
    }),
  ]);
  await underAgent(agent, Promise.race([ready.promise, ended]));

  await printer.typed(`belay status ${JOB}`);
  const { report, message } = await client.call((jobs) => jobs.getJobStatus({ jobId: JOB }));
  expectThat(report !== undefined, () => `the agent did not answer: ${message}`);
  const pids = report?.processes.map((one) => one.pid) ?? [];
  await printer.arrived("status", `the agent answers: ${pids.length} processes, pid ${pids.join(" and ")}`);
  expectThat(pids.length >= 2, () => "the agent does not see the hidden child");

  await printer.typed(`belay cancel --grace 1s --reason 'wrong data set' ${JOB}`);
  const reason = "wrong data set";
  await client.call((jobs) => jobs.cancelJob({ jobId: JOB, reason, gracePeriod: durationFromMs(GRACE_MS) }));
  const [job] = await underAgent(agent, ended);
  await agent.ended;
  await printer.text(`  ${printer.style.bold("The evidence")} (belay show ${JOB})`);
  for (const line of evidence(job)) await printer.text(`  ${line}`);
  return pids;
}

function evidence(job: Job): string[] {
  const found = job.result?.evidence;
  expectThat(job.state === JobState.CANCELED, () => `job ${JOB} was not canceled: ${job.result?.message ?? ""}`);
  if (found === undefined) throw new Error("A job that was ended by force has evidence");
  expectThat(found.survivors.length === 0, () => `${found.survivors.length} processes survived the cancel`);
  return evidenceLines(found);
}

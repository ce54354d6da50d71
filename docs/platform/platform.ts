// A platform in one page: creates a job, lets an agent run it, follows it, and cancels it. It uses only Belay's
// contract. In your own program, import `belay-agent/proto/job_service` and `belay-agent/proto/job`.
//
//     node platform.ts http://127.0.0.1:7070 belay
import { enumToJson } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { JobStateSchema, OutcomeSchema } from "../../src/gen/belay/v1/job_pb.ts";
import { JobService } from "../../src/gen/belay/v1/job_service_pb.ts";

const [tracker = "http://127.0.0.1:7070", ...belay] = process.argv.slice(2);

const jobs = createClient(
  JobService,
  createGrpcTransport({
    baseUrl: tracker,
    interceptors: [
      (next) => (request) => {
        const token = process.env["TRACKER_TOKEN"];
        if (token !== undefined) request.header.set("authorization", `Bearer ${token}`);
        return next(request);
      },
    ],
  }),
);

// 1. Create the job. With an id of your own, the call is safe to repeat.
const jobId = `demo-${process.pid}`;
await jobs.createJob({
  jobId,
  spec: {
    name: "count",
    labels: { team: "docs" },
    command: ["sh", "-c", "i=0; while true; do i=$((i+1)); echo line $i; sleep 0.1; done"],
  },
});

// 2. Launch an agent: here as a child process; your scheduler does it on a worker, with the same command.
const [program = "belay", ...rest] = belay;
const agent = spawn(program, [...rest, "run", "--tracker", tracker, "--quiet", "--job", jobId], { stdio: "inherit" });
const agentEnded = once(agent, "exit");

// 3. Follow the job's output; stop after three lines. Leaving the loop does not end the call: aborting its signal does.
let text = "";
const following = new AbortController();
for await (const { chunks } of jobs.readLogs({ jobId, follow: true }, { signal: following.signal })) {
  for (const { content } of chunks) if (content.case === "data") text += Buffer.from(content.value).toString("utf8");
  if (text.split("\n").length > 3) break;
}
following.abort();
say(text.split("\n").slice(0, 3).join("\n"));

// 4. Cancel the job, and watch it until none of its processes is left.
await jobs.cancelJob({ jobId, reason: "seen enough", gracePeriod: { seconds: 2n, nanos: 0 } });
const watching = new AbortController();
for await (const { job } of jobs.watchJob({ jobId }, { signal: watching.signal })) {
  if (job === undefined) continue;
  say(enumToJson(JobStateSchema, job.state) as string);
  if (job.result === undefined) continue;
  say(`${enumToJson(OutcomeSchema, job.result.outcome) as string}: ${job.result.message}`);
  break;
}
watching.abort();
await agentEnded;

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

import type { Job } from "../../gen/belay/v1/job_pb.ts";
import { JobSchema } from "../../gen/belay/v1/job_pb.ts";
import { clientFlags, clientOf, jsonFlag } from "../client/flags.ts";
import type { JobClient } from "../client/client.ts";
import { watchJobs } from "../client/resume.ts";
import type { Command } from "../flags/command.ts";
import { command } from "../flags/command.ts";
import { EXIT_OK } from "../process/exit-codes.ts";
import { count, grouped, toggle } from "../flags/flags.ts";
import { jobFilterFlags, jobFilterOf } from "../flags/job-filter.ts";
import { betweenText, healthText } from "../render/job/attempts.ts";
import { jobTable } from "../render/job/job-table.ts";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { JobFilterSchema } from "../../gen/belay/v1/job_service_pb.ts";
import { WatchJobsResponseSchema } from "../../gen/belay/v1/job_service_pb.ts";
import type { Io } from "../process/io.ts";
import { clean } from "../render/clean.ts";
import type { Style } from "../render/style.ts";
import { styleOf } from "../render/style.ts";
import { jsonLine } from "../render/json.ts";

const PAGE = 1000;

const flags = {
  ...jobFilterFlags,
  ...grouped("Selection", {
    limit: count({ default: 100, variable: false, help: "list at most this many jobs, newest first; 0: all" }),
    watch: toggle({ short: "w", variable: false, help: "print each change as well, one a line, until interrupted" }),
  }),
  ...jsonFlag,
  ...clientFlags,
};

/** `belay jobs` */
export const jobs: Command = command({
  name: "jobs",
  args: [],
  about: "Lists jobs, newest first.",
  flags,
  examples: [
    ["belay jobs", "the newest 100"],
    ["belay jobs --state running --label team=ml", "running jobs with this label"],
    ["belay jobs --watch --state running,lost", "present jobs, then every change"],
    ["belay jobs --json --limit 0 | jq -r .jobId", "for programs: one Job of the contract a line"],
  ],
  run: async ({ flags, io }) => {
    using client = await clientOf(flags, io);
    const filter = jobFilterOf(flags);
    if (flags.watch) return await watch(client, filter, flags.json, io);
    const found: Job[] = [];
    let more = false;
    for await (const page of pages(client, filter, flags.limit)) {
      more = page.more;
      if (flags.json) for (const job of page.jobs) await io.stdout.write(jsonLine(JobSchema, job));
      else found.push(...page.jobs);
      if (io.stdout.gone.aborted) return EXIT_OK;
    }
    if (flags.json) return EXIT_OK;
    if (found.length > 0) await io.stdout.write(jobTable(found, io.stdout, Date.now()));
    const filtered = flags.state.length > 0 || flags.label.length > 0 || flags.name !== undefined;
    if (found.length === 0) await io.stderr.write(filtered ? "No job matches.\n" : firstSteps(flags.tracker));
    if (more) await io.stderr.write(`There are more jobs: --limit 0 lists all.\n`);
    return EXIT_OK;
  },
});

/** Prints jobs as they change, across lost connections. Returns when the reader of the output has gone. */
async function watch(
  client: JobClient,
  filter: MessageInitShape<typeof JobFilterSchema>,
  json: boolean,
  io: Io,
): Promise<number> {
  const style = styleOf(io.stdout);
  for await (const answer of watchJobs(client, filter)) {
    if (answer === "snapshot") continue;
    const { change } = answer;
    if (json) await io.stdout.write(jsonLine(WatchJobsResponseSchema, answer));
    else if (change.case === "job") await io.stdout.write(changeLine(change.value, style));
    else if (change.case === "deletedJobId") await io.stdout.write(`${clockTime()}  ${change.value}  deleted\n`);
    if (io.stdout.gone.aborted) return EXIT_OK;
  }
  return EXIT_OK;
}

function changeLine(job: Job, style: Style): string {
  const { jobId, state, spec, attempts } = job;
  const remark = betweenText(job) || healthText(attempts.at(-1), style, Date.now());
  const parts = [clockTime(), jobId, style.state(state), clean(spec?.name ?? ""), remark];
  return `${parts.filter((part) => part !== "").join("  ")}\n`;
}

function clockTime(): string {
  return new Date().toISOString();
}

async function* pages(
  client: JobClient,
  filter: { states: Job["state"][]; labels: Record<string, string>; name?: string },
  limit: number,
): AsyncGenerator<{ jobs: readonly Job[]; more: boolean }> {
  let left = limit === 0 ? Number.POSITIVE_INFINITY : limit;
  let pageToken = "";
  do {
    const request = { filter, pageSize: Math.min(PAGE, left), pageToken };
    const answer = await client.call((service) => service.listJobs(request));
    left -= answer.jobs.length;
    pageToken = answer.nextPageToken;
    yield { jobs: answer.jobs, more: pageToken !== "" };
  } while (pageToken !== "" && left > 0);
}

function firstSteps(tracker: string): string {
  const flag = tracker === clientFlags.tracker.default ? "" : ` --tracker ${tracker}`;
  return `No jobs yet. Run one:
  belay run${flag} --job hello -- echo 'it works'
or register one that an agent will pick up:
  belay submit${flag} -- echo 'it works'
`;
}

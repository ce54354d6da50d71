import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { sleep } from "../../base/clock.ts";
import { BelayError } from "../../base/errors.ts";
import type { Job } from "../../gen/belay/v1/job_pb.ts";
import type { ReadMetricsResponse } from "../../gen/belay/v1/job_service_pb.ts";
import { ReadMetricsResponseSchema } from "../../gen/belay/v1/job_service_pb.ts";
import type { JobClient } from "../client/client.ts";
import { nextAttemptText, throughAttempts } from "../client/attempts.ts";
import { openClient } from "../client/client.ts";
import { clientFlags, jsonFlag } from "../client/flags.ts";
import { readMetrics } from "../client/resume.ts";
import type { Command } from "../flags/command.ts";
import { command } from "../flags/command.ts";
import { EXIT_OK } from "../process/exit-codes.ts";
import type { Values } from "../flags/flags.ts";
import { count, grouped, many, toggle } from "../flags/flags.ts";
import type { Io } from "../process/io.ts";
import { jobArgument, onlyJob, presentJob } from "../flags/job-argument.ts";
import { moment } from "../flags/moment-flag.ts";
import { attemptFlag, sinceFlag } from "../flags/part-flags.ts";
import { asciiOnly } from "../render/charset.ts";
import { InPlace } from "../terminal/in-place.ts";
import { jsonLine } from "../render/json.ts";
import type { CsvKind } from "../render/metrics/csv.ts";
import { csvColumns, csvHeader, csvRows } from "../render/metrics/csv.ts";
import { metricLines } from "../render/metrics/lines.ts";
import { Series } from "../render/metrics/series.ts";
import { metricsView } from "../render/metrics/view.ts";
import { styleOf } from "../render/style.ts";

/** Points of a chart without --points: more than any terminal has columns. */
const CHART_POINTS = 500;
/** Shortest time between two frames. */
const FRAME_MS = 200;
/** A frame is drawn at least so often, with the job's state. */
const REFRESH_MS = 2_000;

/** Columns that every help fits into. */
const HELP_WIDTH = 80;

const flags = {
  ...grouped("Selection", {
    follow: toggle({ short: "f", variable: false, help: "continue as more arrives, until the job ends" }),
    name: many(
      {
        value: "NAME",
        variable: false,
        separator: ",",
        help: "only this one of the job's own metrics; * matches any characters",
      },
      (given) => given,
    ),
    attempt: attemptFlag,
    since: sinceFlag,
    until: moment({ variable: false, help: "end before this time: 5m (ago), or RFC 3339: 2026-11-22T09:00:00Z" }),
    points: count({
      variable: false,
      help: "at most this many points, neighbours merged; 0: all",
      defaultText: `${CHART_POINTS}; with --csv or --json all`,
    }),
  }),
  ...grouped("Output", {
    csv: toggle({
      variable: false,
      help: "print a table for programs: one row for each sample, or with --name one row for each value",
    }),
    gpus: toggle({ variable: false, help: "with --csv: one row for each graphics processor in a sample" }),
  }),
  ...jsonFlag,
  ...clientFlags,
};

type MetricsFlags = Values<typeof flags>;

/** `belay metrics` */
export const metrics: Command = command({
  name: "metrics",
  args: [jobArgument],
  about:
    "Shows resource use (processors, memory, disk, network, graphics processors) and the job's own metrics from " +
    "$BELAY_METRICS (progress, loss, …), each over time. The older the samples, the more of them are merged into one " +
    "point; peaks and totals stay exact.",
  flags,
  examples: [
    ["belay metrics train-17", "current values, and charts over time"],
    ["belay metrics -f train-17", "the same, updated as it changes"],
    ["belay metrics --name loss --name 'val/*' train-17", "some of the job's own metrics"],
    ["belay metrics --since 1h train-17", "the last hour"],
    ["belay metrics --csv train-17 > usage.csv", "for a spreadsheet or pandas: one row a sample"],
    ["belay metrics --csv --name '*' train-17 > own.csv", "the job's own metrics: time,name,value,step"],
    ["belay metrics --json train-17 | jq '.samples[]?.cpuCores'", "for programs: ReadMetricsResponse of the contract"],
  ],
  notes: `How a job reports its own metrics, from any language:
  echo "loss=0.31 acc=0.87 step=10" >> "$BELAY_METRICS"
  echo 'progress=0.42 note="epoch 3/10"' >> "$BELAY_METRICS"

Columns of the tables; later versions may add more at the end.
With --csv, one row for each sample:
${csvColumns("usage", HELP_WIDTH)}
With --csv and --name, one row for each value of the job's own metrics:
${csvColumns("values", HELP_WIDTH)}
With --csv and --gpus, one row for each graphics processor in a sample:
${csvColumns("gpus", HELP_WIDTH)}
Counters start at 0 with the job; times are those of the worker; an empty cell means that the value is not known.`,
  run: async ({ flags, args, io }) => {
    const jobId = onlyJob(args);
    checkFlags(flags);
    const frame = new InPlace(io.stdout);
    const remark = (text: string): void => {
      frame.forget();
      void io.stderr.write(`belay: ${text}\n`);
    };
    using client = await openClient({ ...flags, remark });
    const job = presentJob(await client.call((jobs) => jobs.getJob({ jobId })));
    const view = new View(job, flags, io);
    const answers = answersOf(client, jobId, flags, (attempt) => {
      remark(nextAttemptText(jobId, attempt));
      view.begin(attempt);
    });
    if (flags.json || flags.csv) return await printData(answers, flags, io);
    if (!flags.follow) {
      for await (const answer of answers) view.series.push(answer);
      await io.stdout.write(view.text());
      return EXIT_OK;
    }
    if (io.stdout.isTerminal && io.env["TERM"] !== "dumb") return await drawAgain(client, answers, view, frame, io);
    return await printLines(answers, io);
  },
});

function checkFlags({ json, csv, gpus, follow, until, name }: MetricsFlags): void {
  const wrong = (text: string): BelayError => new BelayError("BAD_USAGE", text);
  if (json && csv) throw wrong("Cannot use --json and --csv together: both say what to print");
  if (gpus && !csv) throw wrong("Cannot use --gpus without --csv: it says which table to print");
  if (gpus && name.length > 0) throw wrong("Cannot use --gpus and --name together: both say which table to print");
  if (follow && until !== undefined) throw wrong("Cannot use --follow and --until together: both say where to end");
}

/** The stored metrics, and with --follow those that arrive later; with --name only metrics that it selects. */
async function* answersOf(
  client: JobClient,
  jobId: string,
  flags: MetricsFlags,
  onNext: (attempt: number) => void,
): AsyncGenerator<ReadMetricsResponse, void, undefined> {
  const isReadByUser = !flags.json && !flags.csv;
  const request = {
    jobId,
    follow: flags.follow,
    maxSamples: flags.points ?? (isReadByUser ? CHART_POINTS : 0),
    ...(flags.since === undefined ? {} : { startTime: timestampFromMs(Math.floor(flags.since)) }),
    ...(flags.until === undefined ? {} : { endTime: timestampFromMs(Math.floor(flags.until)) }),
  };
  const read = (attempt: number): ReturnType<typeof readMetrics> => readMetrics(client, { ...request, attempt });
  const followsAll = flags.follow && flags.attempt === undefined;
  const answers = followsAll ? throughAttempts(client, jobId, read, { onNext }) : read(flags.attempt ?? 0);
  const wants = matcher(flags.name);
  for await (const answer of answers) {
    if (flags.name.length > 0) {
      answer.samples = [];
      for (const record of answer.jobMetrics) record.metrics = record.metrics.filter(({ name }) => wants(name));
      // A program gets only the named metrics; a user also sees the progress.
      if (!isReadByUser) answer.jobMetrics = answer.jobMetrics.filter((record) => record.metrics.length > 0);
    }
    if (answer.samples.length + answer.jobMetrics.length > 0 || answer.unkeptValues > 0n) yield answer;
  }
}

/** Whether a name matches one of the patterns, in which `*` stands for any characters. No patterns match every name. */
function matcher(names: readonly string[]): (name: string) => boolean {
  const literal = (text: string): string => text.replaceAll(/[\\^$.*+?()[\]{}|/]/g, String.raw`\$&`);
  const patterns = names.map((name) => new RegExp(`^${name.split("*").map(literal).join(".*")}$`, "su"));
  return (name) => patterns.length === 0 || patterns.some((pattern) => pattern.test(name));
}

async function printData(
  answers: AsyncIterable<ReadMetricsResponse>,
  { json, gpus, name }: MetricsFlags,
  { stdout }: Io,
): Promise<number> {
  const kind: CsvKind = name.length > 0 ? "values" : gpus ? "gpus" : "usage";
  if (!json) await stdout.write(csvHeader(kind));
  for await (const answer of answers) {
    await stdout.write(json ? jsonLine(ReadMetricsResponseSchema, answer) : csvRows(kind, answer));
    // The reader has gone (`| head`): this is not a failure.
    if (stdout.gone.aborted) return EXIT_OK;
  }
  return EXIT_OK;
}

async function printLines(answers: AsyncIterable<ReadMetricsResponse>, { stdout }: Io): Promise<number> {
  for await (const answer of answers) {
    await stdout.write(metricLines(answer));
    if (stdout.gone.aborted) return EXIT_OK;
  }
  return EXIT_OK;
}

/** The metrics and the job that are on the screen. */
class View {
  series: Series = new Series();
  job: Job;
  private attempt: number;
  private readonly flags: MetricsFlags;
  private readonly io: Io;

  constructor(job: Job, flags: MetricsFlags, io: Io) {
    this.job = job;
    this.flags = flags;
    this.io = io;
    this.attempt = flags.attempt ?? 0;
  }

  /** Shows another attempt from now on. */
  begin(attempt: number): void {
    this.attempt = attempt;
    this.series = new Series();
  }

  text(): string {
    const { stdout, env } = this.io;
    const { job, series, flags } = this;
    const attempt = this.attempt || (job.attempts.at(-1)?.attempt ?? 0);
    const chart = { columns: stdout.columns, ascii: asciiOnly(env), style: styleOf(stdout) };
    return metricsView({ job, attempt, series, usage: flags.name.length === 0 }, chart);
  }
}

/** Draws the view again and again in the same place as metrics arrive, until the answers end. */
async function drawAgain(
  client: JobClient,
  answers: AsyncGenerator<ReadMetricsResponse, void, undefined>,
  view: View,
  frame: InPlace,
  { stdout }: Io,
): Promise<number> {
  let drawnAt = Number.NEGATIVE_INFINITY;
  let waits = false;
  const draw = async (): Promise<void> => {
    drawnAt = performance.now();
    waits = false;
    await frame.draw(view.text());
  };
  let next = answers.next();
  for (;;) {
    const tick = new AbortController();
    const rest = (waits ? FRAME_MS : REFRESH_MS) - (performance.now() - drawnAt);
    const arrived = await Promise.race([next, sleep(rest, tick.signal)]);
    tick.abort();
    if (stdout.gone.aborted) {
      // The reader has gone: later answers and errors cannot be shown.
      next.catch(() => undefined);
      return EXIT_OK;
    }
    if (arrived === undefined) {
      if (!waits) view.job = await current(client, view.job);
      await draw();
      continue;
    }
    if (arrived.done === true) break;
    view.series.push(arrived.value);
    next = answers.next();
    waits = true;
  }
  view.job = await current(client, view.job);
  await draw();
  return EXIT_OK;
}

/** The job as it is now, or as last known if the tracker does not answer: the stream of metrics reports the error. */
async function current(client: JobClient, job: Job): Promise<Job> {
  try {
    return presentJob(await client.call((jobs) => jobs.getJob({ jobId: job.jobId })));
  } catch {
    return job;
  }
}

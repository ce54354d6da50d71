import { formatDuration } from "../../contract/durations.ts";
import { JobSchema } from "../../gen/belay/v1/job_pb.ts";
import { openClient } from "../client/client.ts";
import { clientFlags, clientOf, jsonFlag } from "../client/flags.ts";
import type { Command } from "../flags/command.ts";
import { command } from "../flags/command.ts";
import { EXIT_OK } from "../process/exit-codes.ts";
import type { Values } from "../flags/flags.ts";
import { choice, duration, grouped, toggle, wanted } from "../flags/flags.ts";
import type { Io } from "../process/io.ts";
import { jobFilterFlags, jobFilterOf } from "../flags/job-filter.ts";
import { asciiOnly } from "../render/charset.ts";
import { jsonLine } from "../render/json.ts";
import { ignoredSignals } from "../process/ignored-signals.ts";
import { takeStopSignals } from "../process/stop-signals.ts";
import { TopApp } from "../top/app.ts";
import { ENDED_PAGE } from "../top/feed.ts";
import { ENDED_STATES, LIVE_STATES } from "../../contract/states.ts";
import { KEYS } from "../top/help.ts";
import { sorted, SORTS } from "../top/order.ts";
import { rowOf } from "../top/row.ts";
import { listAll, snapshotText } from "../top/snapshot.ts";
import { isEnded } from "../../contract/states.ts";

/** Shortest interval. Agents sample only every few seconds: more frequent calls would mostly return old values. */
const LEAST_INTERVAL_MS = 250;

const flags = {
  ...jobFilterFlags,
  ...grouped("Selection", {
    sort: choice(SORTS, {
      variable: "BELAY_TOP_SORT",
      value: "ORDER",
      default: "cpu",
      help: `which jobs come first: ${SORTS.join(", ")}`,
    }),
    all: toggle({ short: "a", variable: false, help: "show ended jobs as well: the newest 500" }),
  }),
  ...grouped("Output", {
    interval: duration({ variable: "BELAY_TOP_INTERVAL", default: "2s", help: "time between two samples" }),
    once: toggle({ short: "1", variable: false, help: "print the table once and exit" }),
  }),
  ...jsonFlag,
  ...clientFlags,
};

/** `belay top` */
export const top: Command = command({
  name: "top",
  args: [],
  about:
    "Shows a full-screen live view of jobs: what they use, their progress, what they print. With --once or --json, and " +
    "where standard output is not a terminal, prints the table once.",
  flags,
  examples: [
    ["belay top", "every job that runs or waits"],
    ["belay top --label team=ml --sort progress", "jobs with this label"],
    ["belay top --once | head -3", "the jobs that use the most processor time now"],
    ["belay top --json | jq -r .jobId", "for programs: one Job of the contract a line"],
  ],
  notes: `Keys:\n${KEYS.map(([keys, does]) => `  ${keys.padEnd(14)}${does}`).join("\n")}`,
  run: async ({ flags, io }) => {
    if (flags.interval < LEAST_INTERVAL_MS) {
      throw wanted("--interval", formatDuration(flags.interval), `${formatDuration(LEAST_INTERVAL_MS)} or more`);
    }
    const { stdin, stdout } = process;
    const dumbTerminal = ["", "dumb"].includes(io.env["TERM"] ?? "");
    if (flags.once || flags.json || !io.stdout.isTerminal || dumbTerminal || !stdin.isTTY) return once(flags, io);
    // Without `remark`: problems of the connection are part of the screen, and must not be written across it.
    using client = await openClient(flags);
    const signals = takeStopSignals({ isIgnored: ignoredSignals(io) });
    try {
      const app = new TopApp({
        client,
        filter: { labels: Object.fromEntries(flags.label), ...(flags.name === undefined ? {} : { name: flags.name }) },
        states: new Set(flags.state),
        sort: flags.sort,
        showEnded: wantsEnded(flags),
        intervalMs: flags.interval,
        capabilities: { color: io.stdout.color, ascii: asciiOnly(io.env) },
        stdin,
        stdout,
      });
      await app.run(signals.stop);
      return EXIT_OK;
    } finally {
      signals.release();
    }
  },
});

/** Prints the table once. */
async function once(values: Values<typeof flags>, io: Io): Promise<number> {
  using client = await clientOf(values, io);
  const filter = jobFilterOf(values);
  const selectedFrom = (states: readonly number[]): typeof filter.states =>
    filter.states.length === 0
      ? (states as typeof filter.states)
      : filter.states.filter((state) => states.includes(state));
  const live = selectedFrom(LIVE_STATES);
  const ended = wantsEnded(values) ? selectedFrom(ENDED_STATES) : [];
  const jobs = [
    ...(live.length === 0 ? [] : await listAll(client, { ...filter, states: [...live] })),
    ...(ended.length === 0 ? [] : await listAll(client, { ...filter, states: [...ended] }, ENDED_PAGE)),
  ];
  const byId = new Map(jobs.map((job) => [job.jobId, job]));
  const rows = sorted(
    [...byId.values()].map((job) => rowOf(job, undefined)),
    values.sort,
    false,
  );
  if (values.json) {
    for (const { jobId } of rows) {
      const job = byId.get(jobId);
      if (job !== undefined) await io.stdout.write(jsonLine(JobSchema, job));
      if (io.stdout.gone.aborted) break;
    }
  } else if (rows.length > 0) await io.stdout.write(await snapshotText(client, rows, Date.now()));
  else await io.stderr.write("No job is running or waiting.\n");
  return EXIT_OK;
}

function wantsEnded({ all, state }: Pick<Values<typeof flags>, "all" | "state">): boolean {
  return all || state.some(isEnded);
}

import { JobState } from "../../gen/belay/v1/job_pb.ts";
import { didYouMean } from "../../base/text/did-you-mean.ts";
import type { Flag, Grouped, Values } from "./flags.ts";
import { grouped, many, pairs, text, wanted } from "./flags.ts";

/** States by the names that people type. */
const STATE_NAMES: ReadonlyMap<string, JobState> = new Map(
  Object.entries(JobState).filter(([name]) => name !== "UNSPECIFIED"),
);

/** Flags of the commands that show many jobs. */
export type JobFilterFlags = Grouped<{
  state: Flag<readonly JobState[]>;
  label: Flag<readonly (readonly [string, string])[]>;
  name: Flag<string | undefined>;
}>;

const states = many(
  {
    variable: false,
    value: "STATE",
    separator: ",",
    words: [...STATE_NAMES.keys()].map((name) => name.toLowerCase()),
    help: "only jobs in this state, such as running",
  },
  (given, what) => {
    const state = STATE_NAMES.get(given.trim().toUpperCase().replaceAll("-", "_"));
    if (state !== undefined) return state;
    const known = [...STATE_NAMES.keys()].map((name) => name.toLowerCase());
    throw wanted(what, given, `one of ${known.join(", ")}${didYouMean(given, known)}`);
  },
);

/** See JobFilterFlags. */
export const jobFilterFlags: JobFilterFlags = grouped("Selection", {
  state: {
    ...states,
    // No state's name contains a comma, so one flag on the command line may also name several.
    read: (texts, what) =>
      states.read(
        texts.flatMap((text) => text.split(",")),
        what,
      ),
  },
  label: pairs({ variable: false, separator: ",", help: "only jobs with this label" }),
  name: text({ variable: false, help: "only jobs with this name" }),
});

/** The filter of the contract that the flags describe. */
export function jobFilterOf(flags: Values<JobFilterFlags>): {
  states: JobState[];
  labels: Record<string, string>;
  name?: string;
} {
  return {
    states: [...flags.state],
    labels: Object.fromEntries(flags.label),
    ...(flags.name === undefined ? {} : { name: flags.name }),
  };
}

import { JobState } from "../../gen/belay/v1/job_pb.ts";
import type { Output } from "../process/io.ts";
import { stateName } from "../../contract/names.ts";

/** Colours of one output; without colours, texts are returned unchanged. */
export interface Style {
  bold(text: string): string;
  dim(text: string): string;
  red(text: string): string;
  green(text: string): string;
  yellow(text: string): string;
  cyan(text: string): string;
  /** The state's name in its colour. */
  state(state: JobState): string;
}

/** The style for an output. */
export function styleOf(output: Pick<Output, "color">): Style {
  const paint = (code: number) => (text: string) => (output.color ? `\u001b[${code}m${text}\u001b[0m` : text);
  const style = {
    bold: paint(1),
    dim: paint(2),
    red: paint(31),
    green: paint(32),
    yellow: paint(33),
    cyan: paint(36),
  };
  return {
    ...style,
    state: (state) => {
      const name = stateName(state);
      switch (state) {
        case JobState.SUCCEEDED:
          return style.green(name);
        case JobState.FAILED:
        case JobState.LOST:
          return style.red(name);
        case JobState.CANCELED:
        case JobState.CANCELING:
        case JobState.PAUSED:
          return style.yellow(name);
        case JobState.PENDING:
          return style.dim(name);
        default:
          return style.cyan(name);
      }
    },
  };
}

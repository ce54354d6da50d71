import type { JobMetric } from "../../../gen/belay/v1/job_pb.ts";
import type { ReadMetricsResponse } from "../../../gen/belay/v1/job_service_pb.ts";
import { clean } from "../clean.ts";
import { metricsText } from "../usage.ts";
import { timeText } from "./csv.ts";
import { formatNumber } from "./number.ts";

/** One line for each sample or record that has arrived, in order of time. */
export function metricLines({ samples, jobMetrics }: ReadMetricsResponse): string {
  const lines = [
    ...samples.map((sample) => ({ nano: sample.sampleUnixNano, text: metricsText(sample) })),
    ...jobMetrics.flatMap(({ readUnixNano: nano, metrics, progress }) => [
      ...valueTexts(metrics).map((text) => ({ nano, text })),
      ...(progress === undefined ? [] : [{ nano, text: progressText(progress.fraction, progress.note) }]),
    ]),
  ];
  return lines
    .toSorted((a, b) => Number(a.nano - b.nano))
    .map(({ nano, text }) => `${timeText(nano)}  ${text}\n`)
    .join("");
}

function progressText(fraction: number, note: string): string {
  return `progress ${(fraction * 100).toFixed(1).replace(/\.0$/, "")} %${note === "" ? "" : `  ${clean(note)}`}`;
}

/** `loss=0.31 acc=0.87 step=10`: values of one step on one line, until a name repeats. */
function valueTexts(metrics: readonly JobMetric[]): string[] {
  const texts: string[] = [];
  let group: JobMetric[] = [];
  const close = (): void => {
    const [first] = group;
    if (first === undefined) return;
    const step = first.step === undefined ? "" : ` step=${formatNumber(first.step)}`;
    texts.push(group.map(({ name, value }) => `${clean(name)}=${formatNumber(value)}`).join(" ") + step);
    group = [];
  };
  for (const metric of metrics) {
    if (group.some(({ name, step }) => name === metric.name || step !== metric.step)) close();
    group.push(metric);
  }
  close();
  return texts;
}

import { expect, test } from "vitest";
import { MetricsRegistry } from "../../src/base/prometheus.ts";

test("is text that Prometheus reads", () => {
  const metrics = new MetricsRegistry();
  const counter = metrics.counter("c_total", "What it counts.");
  counter.add(1, { why: 'a "b"\n\\c' });
  counter.add(2, { why: 'a "b"\n\\c' });
  const histogram = metrics.histogram("h_seconds", "Times.", [0.1, 1]);
  for (const value of [0.05, 0.1, 0.5, 7]) histogram.observe(value);
  metrics.gauge("g", "Now.", () => 1.5);
  expect(metrics.text()).toBe(
    `# HELP c_total What it counts.
# TYPE c_total counter
c_total{why="a \\"b\\"\\n\\\\c"} 3
# HELP h_seconds Times.
# TYPE h_seconds histogram
h_seconds_bucket{le="0.1"} 2
h_seconds_bucket{le="1"} 3
h_seconds_bucket{le="+Inf"} 4
h_seconds_sum 7.65
h_seconds_count 4
# HELP g Now.
# TYPE g gauge
g 1.5
`,
  );
});

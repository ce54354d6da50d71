import { expect, it } from "vitest";
import { TrackerProcess } from "../helpers/cli.ts";
import { noTmux, TmuxTerminal } from "../helpers/tmux.ts";

it.skipIf(noTmux !== undefined)("metrics -f leaves no parts of old frames when its terminal is resized", async () => {
  const tracker = await TrackerProcess.start();
  const script = "while :; do echo x=1 >> $BELAY_METRICS; echo ready; sleep 0.3; done";
  const run = tracker.belay("run", "--job", "j1", "--metrics-interval", "300ms", "--", "sh", "-c", script);
  await run.says(/ready/);
  const terminal = await TmuxTerminal.belay(100, 30, ["metrics", "-f", "--tracker", tracker.url, "j1"]);
  const isWhole = (lines: readonly string[]): boolean => {
    const text = lines.join("\n");
    return /^memory /m.test(text) && /^x /m.test(text);
  };
  await terminal.until(isWhole);
  for (const [columns, rows] of [
    [100, 8],
    [100, 30],
    [60, 30],
    [100, 12],
    [100, 30],
  ] as const) {
    await terminal.resize(columns, rows);
    // A frame that does not fit the height of the terminal ends with an ellipsis.
    await terminal.until((lines) => (rows < 20 ? lines.some((line) => line === "…") : isWhole(lines)));
  }
  const once = (lines: readonly string[]): boolean =>
    isWhole(lines) &&
    ["cpu ", "memory ", "x "].every((row) => lines.filter((line) => line.startsWith(row)).length === 1);
  expect(await terminal.until(once)).not.toContain("…");
});

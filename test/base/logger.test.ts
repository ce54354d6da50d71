import { expect, test } from "vitest";
import { createLogger } from "../../src/base/logger.ts";

function recorded(format: "text" | "json", level: "debug" | "warn"): [ReturnType<typeof createLogger>, string[]] {
  const lines: string[] = [];
  return [createLogger({ format, level, write: (line) => lines.push(line) }), lines];
}

test("text lines have time, level, message and facts", async () => {
  const [log, lines] = recorded("text", "debug");
  log.child({ job: "j1" }).info("Job started", { pid: 7, why: "two words" });
  await log.flush();
  expect(lines).toHaveLength(1);
  expect(lines[0]).toMatch(/^\d\d:\d\d:\d\d\.\d{3} info {2}Job started job=j1 pid=7 why="two words"\n$/);
});

test("JSON lines can be parsed, and bigints survive", async () => {
  const [log, lines] = recorded("json", "debug");
  log.error("It broke", { bytes: 12n });
  await log.flush();
  const line = JSON.parse(lines[0] ?? "") as Record<string, unknown>;
  expect(line).toMatchObject({ level: "error", msg: "It broke", bytes: 12 });
  expect(Date.parse(String(line["time"]))).toBeGreaterThan(Date.now() - 60_000);
});

test("lines below the level are left out, and the order of the others is kept", async () => {
  const [log, lines] = recorded("json", "warn");
  log.info("no");
  log.warn("one");
  log.warn("two");
  await log.flush();
  log.warn("three");
  expect(lines.map((line) => (JSON.parse(line) as { msg: string }).msg)).toEqual(["one", "two", "three"]);
});

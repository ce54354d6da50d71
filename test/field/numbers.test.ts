import { writeFile } from "node:fs/promises";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { startTracker } from "../../src/index.ts";
import { startTestTracker } from "../../src/testing/index.ts";
import { belay, belayEnds, tempDirectory } from "../helpers/cli.ts";

const NINES = "99999999999999999999";
const TOO_LONG = 'expected at most "36500d", a hundred years';
const TOO_LARGE = 'expected less than "8192TiB"';

describe("a number that cannot be used is rejected before anything runs, in one sentence", () => {
  it.each<[string, string]>([
    [`run --timeout ${NINES}d -- true`, `Cannot use --timeout "${NINES}d": ${TOO_LONG}`],
    [`run --setup-timeout ${NINES}h -- true`, `Cannot use --setup-timeout "${NINES}h": ${TOO_LONG}`],
    [`run --grace 36501d -- true`, `Cannot use --grace "36501d": ${TOO_LONG}`],
    [`run --metrics-interval ${NINES}s -- true`, `Cannot use --metrics-interval "${NINES}s": ${TOO_LONG}`],
    [`run --connect-timeout ${NINES}s -- true`, `Cannot use --connect-timeout "${NINES}s": ${TOO_LONG}`],
    [`run --flush-timeout ${NINES}s -- true`, `Cannot use --flush-timeout "${NINES}s": ${TOO_LONG}`],
    [`run --on-disconnect cancel-after=${NINES}s -- true`, TOO_LONG],
    [`run --memory-limit ${NINES}GiB -- true`, `Cannot use --memory-limit "${NINES}GiB": ${TOO_LARGE}`],
    [`run --log-limit ${NINES} -- true`, `Cannot use --log-limit "${NINES}": ${TOO_LARGE}`],
    [`run --spool-limit ${NINES} -- true`, `Cannot use --spool-limit "${NINES}": ${TOO_LARGE}`],
    [`run --memory-limit 1e30 -- true`, 'Cannot parse --memory-limit "1e30": expected a size'],
    [`run --memory-limit 0x10 -- true`, 'Cannot parse --memory-limit "0x10": expected a size'],
    [`run --memory-limit 50% -- true`, 'Cannot parse --memory-limit "50%": expected a size'],
    [`run --timeout=-0 -- true`, 'Cannot parse --timeout "-0": expected a duration'],
    [`cancel --grace ${NINES}s j`, `Cannot use --grace "${NINES}s": ${TOO_LONG}`],
    [`wait --timeout ${NINES}s j`, `Cannot use --timeout "${NINES}s": ${TOO_LONG}`],
    [`logs --tail ${NINES} j`, `Cannot use --tail "${NINES}": expected a whole number`],
    [`tracker --lease ${NINES}s`, `Cannot use --lease "${NINES}s": ${TOO_LONG}`],
    [`tracker --retain-age ${NINES}s`, `Cannot use --retain-age "${NINES}s": ${TOO_LONG}`],
    [`tracker --retain-size ${NINES}`, `Cannot use --retain-size "${NINES}": ${TOO_LARGE}`],
    [`tracker --headers-timeout 60s`, "Cannot use a headers timeout of 60000 ms: expected at most the request timeout"],
    [`tracker --request-timeout 60d`, "expected a whole number of milliseconds, 1 to 2147483647, found 5184000000"],
    [`tracker --max-streams ${NINES.slice(5)}`, "expected a whole number, 1 to 2147483647, found 999999999999999"],
    [`tracker --max-connections 0`, "expected a whole number, 1 to 2147483647, found 0"],
  ])("belay %s", async (line, message) => {
    const [command = "", ...args] = line.split(" ");
    const place = command === "tracker" ? ["--listen", "127.0.0.1:0", "--data", await tempDirectory()] : [];
    const { code, stdout, stderr } = await belayEnds([command, ...place, ...args]);
    expect(stderr).toContain(`belay: `);
    expect(stderr).toContain(message);
    expect(stderr.trim().split("\n")).toHaveLength(1);
    expect(stdout).toBe("");
    expect(code).toBe(64);
  });

  it.each([
    ["timeout: 40000d", 'timeout: expected at most "36500d", a hundred years, found "40000d"'],
    [`memoryLimitBytes: ${NINES}GiB`, `memoryLimitBytes: expected less than "8192TiB", found "${NINES}GiB"`],
    ["memoryLimitBytes: -1", 'memoryLimitBytes: expected a size such as "64MiB", found "-1"'],
    ["timeout: .inf", 'timeout: expected a duration such as "300s" or "5m", found ".inf"'],
    ["logLimitBytes: .nan", 'logLimitBytes: expected a size such as "64MiB", found ".nan"'],
    ["logLimitBytes: 0x10", 'logLimitBytes: expected a size such as "64MiB", found "0x10"'],
  ])("in a spec: %s", async (line, message) => {
    const file = path.join(await tempDirectory(), "job.yaml");
    await writeFile(file, `command: [true]\n${line}\n`);
    const { code, stderr } = await belayEnds(["run", "--spec", file]);
    expect(stderr).toBe(`belay: Cannot use the spec ${file}:2: ${message}\n`);
    expect(code).toBe(64);
  });
});

describe("a duration over 2^31 ms, which Node's timers do not accept, does not end at once", () => {
  it("for an agent and its job", async () => {
    await using tracker = await startTestTracker();
    const long = ["--timeout", "30d", "--setup-timeout", "36500d", "--grace", "60d", "--metrics-interval", "40d"];
    const more = ["--connect-timeout", "30d", "--flush-timeout", "30d", "--on-disconnect", "cancel-after=36500d"];
    const flags = ["--tracker", tracker.url, ...long, ...more, "--setup", "true"];
    const { code, stdout, stderr } = await belayEnds(["run", ...flags, "--", "sh", "-c", "sleep 0.5; echo done"]);
    expect(stderr).toBe("");
    expect(stdout).toBe("done\n");
    expect(code).toBe(0);
  });

  it("for a tracker, and for belay wait", async () => {
    const long = ["--lease", "60d", "--heartbeat-interval", "26d", "--retain-age", "30d", "--drain-timeout", "30d"];
    const data = await tempDirectory();
    const tracker = belay(["tracker", "--listen", "127.0.0.1:0", "--data", data, ...long]);
    const [, url = ""] = await tracker.says(/^listening on (\S+), data in /m);
    const run = belay(["run", "--tracker", url, "--job", "j", "--", "sh", "-c", "sleep 1; echo done"]);
    await run.says(/^done$/m);
    expect(await run.ended).toBe(0);
    const waited = await belayEnds(["wait", "--tracker", url, "--timeout", "30d", "j"]);
    expect(waited.code).toBe(0);
    expect(await tracker.kill("SIGTERM")).toBe(0);
    expect(tracker.stderr).not.toContain("TimeoutOverflowWarning");
  });

  it("for a tracker in a program, which accepts connections under its largest limits", async () => {
    const most = 2 ** 31 - 1;
    await using tracker = await startTracker({
      listen: "127.0.0.1:0",
      dataDirectory: await tempDirectory(),
      limits: { connections: most, streams: most, headersTimeout: most, requestTimeout: most },
    });
    const { code } = await belayEnds(["run", "--tracker", tracker.address, "--", "true"]);
    expect(code).toBe(0);
  });
});

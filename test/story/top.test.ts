import { describe, expect, onTestFinished, test, vi } from "vitest";
import { textWidth } from "../../src/cli/terminal/text-width.ts";
import { JobState } from "../../src/gen/belay/v1/job_pb.ts";
import { ScriptedAgent, waitForState } from "../../src/testing/index.ts";
import { belayEnds, TrackerProcess } from "../helpers/cli.ts";
import { Fleet } from "../helpers/fleet.ts";
import { noTmux, TmuxTerminal } from "../helpers/tmux.ts";
import { someSpec, testTracker } from "../helpers/tracker.ts";

vi.setConfig({ testTimeout: 60_000 });

/** A tracker with jobs that send samples and lines all the time. */
async function busyTracker(count: number): Promise<{ address: string; fleet: Fleet }> {
  const { address } = await testTracker();
  const fleet = await Fleet.join(address, count);
  let round = 0;
  fleet.tick(round++);
  const timer = setInterval(() => fleet.tick(round++), 500);
  onTestFinished(() => {
    clearInterval(timer);
    fleet.vanish();
  });
  return { address, fleet };
}

/** Columns of the keys in the last line. */
const KEYS_WIDTH = "? help  l log  i info  c cancel  s sort  / filter  a ended  q quit".length;

function top(address: string, ...args: string[]): string[] {
  return ["top", "--tracker", address, "--interval", "500ms", ...args];
}

describe.skipIf(noTmux !== undefined)(`belay top in a terminal${noTmux === undefined ? "" : ` (${noTmux})`}`, () => {
  test.each([
    [80, 24, "1-20 of 50", /^JOB +STATE +CPU↓ +MEM +GPU PROGRESS +LEFT +TIME HEARD LAST LINE$/],
    [200, 60, "50", /^JOB +NAME +STATE +CPU↓ +% +MEM +% +GPU +GMEM PROGRESS +LEFT NOTE +TIME +HEARD HOST +LAST LINE$/],
  ])("shows 50 jobs on %i columns", async (columns, rows, where, titles) => {
    const { address } = await busyTracker(50);
    const terminal = await TmuxTerminal.belay(columns, rows, top(address));
    const shown = Math.min(50, rows - 4);
    const lines = await terminal.until((seen) => {
      const used = seen.slice(3, -1).flatMap((one) => /(?:RUNNING|PAUSED) +(\d\.\d\d)/.exec(one)?.[1] ?? []);
      // The terminal may have drawn only a part of a frame: wait for all of it.
      return (
        used.length === shown &&
        used.every((one, i) => i === 0 || Number(used[i - 1]) >= Number(one)) &&
        /^belay top {2}http:\S+ {2}connected +\d\d:\d\d:\d\d$/.test(seen[0] ?? "") &&
        /^50 jobs: 45 running, 5 paused +cpu [\d.]+ cores {2}mem [\d.]+G {2}gpus 10$/.test(seen[1] ?? "") &&
        titles.test(seen[2] ?? "") &&
        (seen.at(-1) ?? "").endsWith(`q quit${where.padStart(columns - KEYS_WIDTH)}`)
      );
    });
    expect(lines).toHaveLength(rows);
    for (const line of lines) expect(textWidth(line)).toBeLessThanOrEqual(columns);
    await terminal.until(/\d+% +\d+[ms].*(step=\d+|compil|INFO|loss|警告)/);
  });

  test("redraws when the terminal's size changes while it runs", async () => {
    const { address } = await busyTracker(50);
    const terminal = await TmuxTerminal.belay(80, 24, top(address));
    await terminal.until(/1-20 of 50/);
    await terminal.resize(200, 40);
    const wide = await terminal.until(/1-36 of 50/);
    expect(wide[2]).toMatch(/^JOB +NAME/);
    await terminal.resize(40, 10);
    const small = await terminal.until(/^.*\n.*\nJOB +STATE +CPU↓ +MEM\b/);
    expect(small).toHaveLength(10);
    for (const line of small) expect(textWidth(line)).toBeLessThanOrEqual(40);
    await terminal.resize(120, 24);
    await terminal.until(/1-20 of 50/);
  });

  test("shows that the tracker is away, marks the rows as stale, and goes on when it is back", async () => {
    let tracker = await TrackerProcess.start();
    await tracker.ends("submit", "--job", "waits", "--", "true");
    const terminal = await TmuxTerminal.belay(100, 12, top(tracker.url));
    await terminal.until(/connected[^]*\nwaits +PENDING/);
    await tracker.cli.kill("SIGKILL");
    await terminal.until(
      /AWAY for \d+s, (next try in \d+s|trying now): connection refused.*\n1 job: 1 pending {2}stale, as of \d\d:\d\d:\d\d\b[^]*\nwaits +PENDING/,
    );
    tracker = await TrackerProcess.start({ data: tracker.data, listen: new URL(tracker.url).host });
    await tracker.ends("submit", "--job", "later", "--", "true");
    await terminal.until(/connected.*\n2 jobs: 2 pending +cpu[^]*\nlater +PENDING[^]*\nwaits +PENDING/);
  });

  test("shows that a connected tracker does not answer", async () => {
    const tracker = await TrackerProcess.start();
    await tracker.ends("submit", "--job", "waits", "--", "true");
    const terminal = await TmuxTerminal.belay(100, 12, top(tracker.url));
    await terminal.until(/connected[^]*\nwaits +PENDING/);
    process.kill(tracker.cli.pid, "SIGSTOP");
    await terminal.until(/NO ANSWER for \d+s.*\n1 job: 1 pending {2}stale, as of/);
    process.kill(tracker.cli.pid, "SIGCONT");
    await terminal.until(/connected.*\n1 job: 1 pending +cpu/);
  });

  test("shows ended jobs on request, and how they ended", async () => {
    const tracker = await TrackerProcess.start();
    await tracker.ends("run", "--job", "bad", "--", "sh", "-c", "exit 3");
    await tracker.ends("submit", "--job", "waits", "--", "true");
    const terminal = await TmuxTerminal.belay(100, 12, top(tracker.url));
    const lines = await terminal.until(/connected[^]*\nwaits +PENDING/);
    expect(lines.join("\n")).not.toContain("bad");
    await terminal.type("a");
    await terminal.until(/1 pending, 1 failed[^]*\nbad +.*FAILED .*exit code 3 after/);
    await terminal.type("a");
    await terminal.until((seen) => !seen.some((one) => one.startsWith("bad")));
    const failed = await TmuxTerminal.belay(100, 12, top(tracker.url, "--state", "failed"));
    expect((await failed.until(/\nbad +/)).join("\n")).not.toContain("waits");
  });

  test("prints an error on the restored screen, and leaves no answer to a probe for the shell", async () => {
    const terminal = await TmuxTerminal.open(100, 12);
    const flags = "--tracker http://127.0.0.1:1 --connect-timeout 300ms";
    await terminal.shell(`${process.execPath} dist/cli/main.js top ${flags}; echo code $?`);
    const lines = await terminal.until(/code 125$/m);
    expect(lines.join("\n")).toMatch(/belay: Cannot reach the tracker at .*: connection refused; gave up after/);
    await terminal.shell("echo $((40 + 2))");
    expect((await terminal.until(/42$/m)).join("\n")).not.toContain("0n");
  });

  test("has colours unless NO_COLOR is set, and only ASCII in an ASCII locale", async () => {
    const { address } = await busyTracker(8);
    const command = `${process.execPath} dist/cli/main.js ${top(address).join(" ")}`;
    const seen = /8 jobs[^]*RUNNING[^]*q quit/;
    const colored = await TmuxTerminal.open(80, 14);
    await colored.shell(command);
    await colored.until(seen);
    const plain = await TmuxTerminal.open(80, 14, { NO_COLOR: "1", LC_ALL: "C" });
    await plain.shell(command);
    const lines = await plain.until(seen);
    expect(await colored.colored()).toContain("\u001b[32mRUNNING");
    expect(await plain.colored()).not.toMatch(/\[(?:\d+;)*3[0-7]m/);
    expect(lines.join("\n")).toMatch(/^[ -~\n]*$/);
    expect(lines[2]).toContain("CPUv");
  });

  test("cancels the job that the question named, with a reason, even if rows have moved", async () => {
    const { address, jobs } = await testTracker();
    const agents = await Promise.all(
      ["one", "two"].map(async (id) => {
        const agent = ScriptedAgent.connect({ url: address, jobId: id });
        await agent.hello({ spec: someSpec });
        agent.state("RUNNING");
        return agent;
      }),
    );
    const terminal = await TmuxTerminal.belay(100, 12, top(address, "--sort", "name"));
    await terminal.until(/one +RUNNING[^]*two +RUNNING/);
    await terminal.type("Down", "c");
    await terminal.until(/^Cancel two, all its processes\? {2}y yes {2}r yes, with a reason {2}n no$/m);
    await terminal.type("n");
    await terminal.until(/^two was not canceled/m);
    await terminal.type("c", "r");
    await terminal.until(/^Reason to cancel two: _/m);
    await terminal.type("wrong data", "Enter");
    const command = await agents[1]?.next("command");
    expect(command?.order).toMatchObject({ case: "cancel", value: { reason: "wrong data" } });
    agents[1]?.state("CANCELING");
    await waitForState(jobs, "two", "CANCELING");
    await terminal.until(/one +RUNNING[^]*two +CANCELING/);
    agents[1]?.result({ outcome: 3, reason: 7 });
    // The ended job stays for a moment, so that the user sees how it ended.
    await terminal.until(/one +RUNNING[^]*two +CANCELED/);
    expect((await jobs.getJob({ jobId: "one" })).job?.state).toBe(JobState.RUNNING);
  });

  test("opens the log of the selected job, follows it, scrolls back, and returns to the table", async () => {
    const { address } = await testTracker();
    const agent = ScriptedAgent.connect({ url: address, jobId: "talks" });
    await agent.hello({ spec: someSpec });
    agent.state("RUNNING");
    agent.print(Array.from({ length: 200 }, (_, i) => `line ${i}\u0007\n`).join(""));
    await agent.acked(0n, 1n);
    const terminal = await TmuxTerminal.belay(80, 12, top(address));
    await terminal.until(/talks +RUNNING/);
    await terminal.type("l");
    const log = await terminal.until(/line 199/);
    expect(log[0]).toMatch(/^log of talks {2}some {2}RUNNING$/);
    expect(log.slice(1, 11)).toEqual(Array.from({ length: 10 }, (_, i) => `line ${190 + i}^G`));
    expect(log[11]).toMatch(/following {2}191-200$/);
    await terminal.type("PPage", "Up");
    const back = await terminal.until(/line 179\b/);
    agent.print("line 200\n");
    await agent.acked(0n, 2n);
    expect(await terminal.lines()).toEqual(back);
    await terminal.type("End");
    await terminal.until(/line 200\b[^]*following {2}192-201$/);
    await terminal.type("q");
    await terminal.until(/talks +RUNNING[^]*line 200$/m);
  });

  test("filters while text is typed; pasted text does not count as keys", async () => {
    const { address } = await busyTracker(8);
    const terminal = await TmuxTerminal.belay(100, 16, top(address));
    await terminal.until(/8 jobs/);
    await terminal.type("/", "train");
    const lines = await terminal.until(/filter "train" shows 4/);
    const shown = lines.slice(3, -1).flatMap((line) => /^[a-z]+-\d+/.exec(line)?.[0] ?? []);
    // They match by id, or by their command, which stands for a missing name.
    expect(shown.toSorted()).toEqual(["etl-01", "simulate-06", "train-00", "train-04"]);
    await terminal.type("Escape");
    await terminal.until((seen) => seen[1]?.includes("filter") === false);
    await terminal.paste("c?qy");
    await terminal.type("s");
    await terminal.until(/^Sort by {2}cpu/m);
  });

  test.each(["q", "C-c"])("restores the terminal: %s", async (key) => {
    const { address } = await testTracker();
    const terminal = await TmuxTerminal.open(100, 12);
    const before = await terminal.settings();
    await terminal.shell(`${process.execPath} dist/cli/main.js ${top(address).join(" ")}; echo code $?`);
    await terminal.until(/connected/);
    expect(await terminal.settings()).not.toBe(before);
    await terminal.type(key);
    await terminal.until(/code 0$/m);
    expect(await terminal.settings()).toBe(before);
  });

  test("stops with Ctrl-Z and continues with fg; SIGTERM restores the terminal, too", async () => {
    const { address } = await testTracker();
    const terminal = await TmuxTerminal.open(100, 12);
    const before = await terminal.settings();
    await terminal.shell("set -m");
    await terminal.shell(`sh -c 'echo pid $$; exec ${process.execPath} dist/cli/main.js ${top(address).join(" ")}'`);
    await terminal.until(/connected/);
    await terminal.type("C-z");
    const stopped = await terminal.until(/Stopped/);
    expect(await terminal.settings()).toBe(before);
    // It may follow a prompt: a command that is typed early is echoed before the prompt.
    const pid = Number(/pid (\d+)$/m.exec(stopped.join("\n"))?.[1]);
    await terminal.shell("fg");
    await terminal.until(/^belay top .* connected/m);
    process.kill(pid, "SIGSTOP");
    // The shell's prompt stands among the lines of the last frame.
    await terminal.until(/^[#$]/m);
    await terminal.shell("fg; echo ended $((40 + 2))");
    await terminal.until((seen) => !seen.some((one) => /^[#$]/.test(one)));
    await terminal.type("?");
    await terminal.until(/^Keys/m);
    process.kill(pid, "SIGTERM");
    await terminal.until(/ended 42$/m);
    expect(await terminal.settings()).toBe(before);
  });
});

describe.skipIf(noTmux !== undefined)("belay top that fails with a bug", () => {
  test("restores the terminal, and reports the error", async () => {
    const { address } = await testTracker();
    const terminal = await TmuxTerminal.open(100, 30);
    const before = await terminal.settings();
    const fails = "data:text/javascript,process.on('SIGUSR2',()=>{throw(new(Error)('boom'))})";
    const run = `exec ${process.execPath} --import "${fails}" dist/cli/main.js ${top(address).join(" ")}`;
    await terminal.shell(`sh -c '${run.replaceAll("'", `'\\''`)}'; echo code $?`);
    await terminal.until(/connected/);
    process.kill(await terminal.childPid(), "SIGUSR2");
    await terminal.until(/Error: boom[^]*code [1-9]/);
    expect(await terminal.settings()).toBe(before);
  });
});

describe("belay top without a terminal", () => {
  test("prints the table once: columns that programs can cut, the busiest job first", async () => {
    const { address } = await busyTracker(4);
    await expect.poll(async () => (await belayEnds(top(address))).stdout, { timeout: 20_000 }).toMatch(/step=\d+\n/);
    const { code, stdout } = await belayEnds(top(address));
    expect(code).toBe(0);
    const rows = stdout
      .trimEnd()
      .split("\n")
      .map((line) => line.split(/ +/));
    expect(rows[0]).toEqual([
      "JOB",
      "STATE",
      "CPU",
      "OF",
      "MEM",
      "OF",
      "GPU",
      "PROGRESS",
      "LEFT",
      "TIME",
      "HEARD",
      "LAST",
      "LINE",
    ]);
    expect(
      rows
        .slice(1)
        .map(([id]) => id ?? "")
        .toSorted(),
    ).toEqual(["build-03", "etl-01", "simulate-02", "train-00"]);
    const used = rows.slice(1).map(([, , cpu]) => Number(cpu));
    expect(used).toEqual(used.toSorted((a, b) => b - a));
    const json = await belayEnds(top(address, "--json", "--label", "team=ml"));
    expect(
      json.stdout
        .trimEnd()
        .split("\n")
        .map((line) => (JSON.parse(line) as { jobId: string }).jobId)
        .toSorted(),
    ).toEqual(["simulate-02", "train-00"]);
  });

  test("rejects invalid flags", async () => {
    expect((await belayEnds(["top", "--interval", "1ms"])).stderr).toMatch(
      /Cannot use --interval "1ms": expected 250ms or more/,
    );
    expect((await belayEnds(["top", "--sort", "size"])).stderr).toMatch(
      /Cannot use --sort "size": expected cpu, memory/,
    );
  });
});

import { constants } from "node:os";
import { describe, expect, it } from "vitest";
import { realTimeSignal } from "../../src/base/signals.ts";
import { EndReason, Outcome } from "../../src/gen/belay/v1/job_pb.ts";
import { start } from "../agent/job/local.ts";
import { TrackerProcess } from "../helpers/cli.ts";

const noLinux = process.platform === "linux" ? undefined : "only Linux has 64 signals";

/** Signals that end no process: they are ignored, or stop it. */
const HARMLESS = new Set(["CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "WINCH"].map((name) => `SIG${name}`));
const NAMES = new Map(Object.entries(constants.signals).map(([name, number]) => [number, name]));
/** By number: a signal and its names, of which a result may have any. */
const DEADLY: readonly (readonly [number, readonly string[]])[] = Array.from({ length: 64 }, (_, index) => index + 1)
  .filter((number) => !HARMLESS.has(NAMES.get(number) ?? ""))
  .map((number) => {
    const names = Object.entries(constants.signals).filter(([, known]) => known === number);
    return [number, [...names.map(([name]) => name), ...[realTimeSignal(number) ?? []].flat()]];
  });

describe.skipIf(noLinux !== undefined)("A process", () => {
  it("that any deadly signal from 1 to 64 ends has failed by that signal, as command and as setup step", async () => {
    expect(DEADLY.length).toBe(56);
    for (const [number, names] of DEADLY) {
      const suicide = `kill -${number} $$; sleep 9`;
      const own = await start({ command: ["sh", "-c", suicide] }).result;
      expect.soft(own, `${number}`).toMatchObject({ outcome: Outcome.FAILED, reason: EndReason.SIGNALED });
      expect.soft(names, `${number}`).toContain(own.signal);
      expect.soft(own.exitCode).toBeUndefined();
      expect.soft(own.message).toContain(`was ended by ${own.signal}`);
      const setup = start({ setup: [{ run: suicide }], command: ["true"] });
      const step = await setup.result;
      expect.soft(step, `${number}`).toMatchObject({ outcome: Outcome.FAILED, reason: EndReason.SETUP_FAILED });
      expect.soft(step.signal).toBe(own.signal);
      expect.soft(setup.events).not.toContain("started 2");
    }
  });

  it("is seen to die of a real-time signal while more of its output waits than one read takes", async () => {
    const script = "head -c 60000 /dev/zero; kill -50 $$; sleep 9";
    const { result, stdout } = start({ command: ["sh", "-c", script] });
    expect(await result).toMatchObject({ reason: EndReason.SIGNALED, signal: "SIGRTMIN+16" });
    expect(stdout().length).toBe(60_000);
  });

  it("that exits with 0 after it has closed its output has succeeded", async () => {
    const { result } = start({ command: ["sh", "-c", "exec >&- 2>&-; sleep 0.05"] });
    expect(await result).toMatchObject({ outcome: Outcome.SUCCEEDED, exitCode: 0, signal: "" });
  });
});

describe.skipIf(noLinux !== undefined)("A real-time signal", () => {
  it("that ends a job is 128 + n to the shell, and shown by name", async () => {
    const tracker = await TrackerProcess.start();
    const run = await tracker.ends("run", "-q", "--job", "j1", "--", "sh", "-c", "kill -34 $$; sleep 9");
    expect(run.code).toBe(162);
    expect((await tracker.ends("wait", "j1")).code).toBe(162);
    expect((await tracker.ends("show", "j1")).stdout).toMatch(/^State +FAILED \(SIGRTMIN after /m);
    const setup = await tracker.ends("run", "-q", "--setup", "kill -64 $$; sleep 9", "--", "echo", "main");
    expect(setup).toMatchObject({ code: 192, stdout: "" });
    expect(setup.stderr).toContain("SETUP_FAILED, SIGRTMIN+30 after");
  });

  it("is sent to a job by its name, and can be its stop signal", async () => {
    const tracker = await TrackerProcess.start();
    const script = "trap 'echo got 36' 36; trap 'echo stops; exit 3' 37; echo ready; while :; do sleep 0.02; done";
    const run = tracker.belay("run", "--job", "j1", "--stop-signal", "RTMIN+3", "--", "sh", "-c", script);
    await run.says(/ready/);
    expect(await tracker.ends("signal", "j1", "rtmin+2")).toMatchObject({ code: 0, stderr: "" });
    await run.says(/got 36/);
    expect((await tracker.ends("cancel", "--wait", "j1")).stdout).toMatch(/SIGRTMIN\+3 sent to/);
    await run.says(/stops/);
    expect(await run.ended).toBe(3);
  });
});

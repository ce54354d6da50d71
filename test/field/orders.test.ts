import { expect, it } from "vitest";
import { TrackerProcess } from "../helpers/cli.ts";

const SLEEP = "echo ready; exec sleep 60";

it("An order to a running job is answered by its agent before the command returns", async () => {
  const tracker = await TrackerProcess.start();
  const run = tracker.belay("run", "--job", "j1", "--", "sh", "-c", `trap '' USR1; ${SLEEP}`);
  await run.says(/ready/);
  expect(await tracker.ends("signal", "j1", "usr1")).toMatchObject({
    code: 0,
    stdout: "j1: Sent SIGUSR1 to 1 process\n",
    stderr: "",
  });
  expect(await tracker.ends("pause", "j1")).toMatchObject({ code: 0, stdout: "j1 is paused\n" });
  expect((await tracker.ends("jobs")).stdout).toContain("PAUSED");
  const again = await tracker.ends("resume", "--json", "j1");
  expect(again.code).toBe(0);
  expect(JSON.parse(again.stdout)).toMatchObject({
    job: { state: "JOB_STATE_RUNNING" },
    command: { state: "COMMAND_STATE_COMPLETED", message: "Resumed" },
  });
  expect(await tracker.ends("pause", "--no-wait", "j1")).toMatchObject({
    code: 0,
    stdout: "pause is on its way to j1\n",
  });
});

it("An order that the job cannot carry out exits with 125 and prints the agent's reason", async () => {
  const tracker = await TrackerProcess.start();
  const setup = tracker.belay("run", "--job", "setup", "--setup", SLEEP, "--", "true");
  const runs = tracker.belay("run", "--job", "runs", "--", "sh", "-c", SLEEP);
  // Its first process stops itself, which does not count as a pause of the job.
  const stops = tracker.belay("run", "--job", "stops", "--", "sh", "-c", "echo ready; kill -STOP $$");
  const paused = tracker.belay("run", "--job", "paused", "--", "sh", "-c", SLEEP);
  await Promise.all([setup, runs, stops, paused].map((run) => run.says(/ready/)));
  await tracker.ends("pause", "paused");
  const cases = [
    [["pause", "setup"], 'Cannot pause job "setup": it is SETTING_UP'],
    [["pause", "--timeout", "0", "setup"], 'Cannot pause job "setup": it is SETTING_UP'],
    [["resume", "setup"], 'Cannot resume job "setup": it is SETTING_UP'],
    [["resume", "runs"], 'Cannot resume job "runs": it is RUNNING'],
    [["resume", "stops"], 'Cannot resume job "stops": it is RUNNING'],
    [["pause", "paused"], 'Cannot pause job "paused": it is PAUSED'],
  ] as const;
  const answers = await Promise.all(cases.map(([[name, ...args]]) => tracker.ends(name, ...args)));
  expect(answers).toMatchObject(cases.map(([, text]) => ({ code: 125, stdout: "", stderr: `belay: ${text}\n` })));
  const json = await tracker.ends("resume", "--json", "runs");
  expect(json).toMatchObject({ code: 125, stderr: 'belay: Cannot resume job "runs": it is RUNNING\n' });
  expect(JSON.parse(json.stdout)).toMatchObject({ command: { state: "COMMAND_STATE_REJECTED" } });
});

it("An order that the agent does not answer in time remains valid, and the error shows the job's state", async () => {
  const tracker = await TrackerProcess.start({ args: ["--lease", "1s"] });
  const run = tracker.belay("run", "--job", "j1", "--", "sh", "-c", SLEEP);
  await run.says(/ready/);
  run.child.kill("SIGSTOP");
  const late = await tracker.ends("pause", "--timeout", "300ms", "j1");
  expect(late).toMatchObject({
    code: 125,
    stdout: "",
    stderr:
      'belay: The agent did not answer the pause of job "j1" within 300ms: the job is RUNNING. The order stands\n',
  });
  const waits = tracker.belay("signal", "--timeout", "0", "j1", "CONT");
  run.child.kill("SIGCONT");
  expect(await waits.ended).toBe(0);
  expect((await tracker.ends("jobs")).stdout).toContain("PAUSED");
  await run.kill("SIGKILL");
  await tracker.belay("wait", "--timeout", "10s", "j1").says(/The agent of "j1" is lost/);
  const away = await tracker.ends("resume", "--timeout", "300ms", "j1");
  expect(away.code).toBe(125);
  expect(away.stderr).toBe(
    "belay: The agent is not connected; it gets the order when it is back\n" +
      'belay: The agent did not answer the resume of job "j1" within 300ms: the job is LOST; the agent is not connected. The order stands\n',
  );
});

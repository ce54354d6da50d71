import { expect, it } from "vitest";
import { TrackerProcess } from "../helpers/cli.ts";
import { noTmux, TmuxTerminal } from "../helpers/tmux.ts";

const SCRIPT = 'echo "attempt $BELAY_ATTEMPT"; echo "at=$BELAY_ATTEMPT" >> "$BELAY_METRICS"; ';
const NEXT = 'belay: Attempt 1 of "j1" is over; attempt 2 follows\n';

it("A follower of a job continues with its next attempt and says so; a follower of one attempt does not", async () => {
  const tracker = await TrackerProcess.start({ args: ["--lease", "1s"] });
  await tracker.ends("submit", "--job", "j1", "--", "sh", "-c", `${SCRIPT} echo; exec sleep 60`);
  const all = tracker.belay("logs", "-f", "--tail", "1", "j1");
  const run = tracker.belay("run", "--job", "j1");
  await run.says(/attempt 1/);
  const followers = {
    json: tracker.belay("logs", "-f", "--json", "j1"),
    lines: tracker.belay("logs", "-f", "--grep", "attempt", "j1"),
    csv: tracker.belay("metrics", "-f", "--csv", "--name", "at", "j1"),
    text: tracker.belay("metrics", "-f", "j1"),
  };
  const one = tracker.belay("logs", "-f", "--attempt", "1", "j1");
  const waits = tracker.belay("wait", "j1");
  await Promise.all([all, one, followers.lines].map((cli) => cli.says(/attempt 1/)));
  await followers.json.says(/"data"/);
  await followers.csv.says(/,at,1,/);
  await followers.text.says(/at=1/);
  await run.kill("SIGKILL");
  await waits.says(/The agent of "j1" is lost/);
  expect([all, one, ...Object.values(followers)].map(({ child }) => child.exitCode)).toEqual(Array(6).fill(null));

  // Another agent takes the job; the signal ends it.
  const second = tracker.belay("run", "--job", "j1");
  await second.says(/attempt 2/);
  await all.says(/attempt 2/);
  await tracker.ends("signal", "j1", "TERM");
  expect(await waits.ended).toBe(143);
  expect(await all.ended).toBe(0);
  expect(all).toMatchObject({ stdout: "attempt 1\n\nattempt 2\n\n", stderr: NEXT });
  expect(await one.ended).toBe(0);
  expect(one).toMatchObject({ stdout: "attempt 1\n\n", stderr: "" });
  for (const follower of Object.values(followers)) {
    expect(await follower.ended).toBe(0);
    expect(follower.stderr).toBe(NEXT);
  }
  expect(followers.lines.stdout).toBe("attempt 1\nattempt 2\n");
  expect(followers.csv.stdout.match(/,at,\d/g)).toEqual([",at,1", ",at,2"]);
  expect(followers.text.stdout).toMatch(/at=1[^]*at=2/);
  expect(followers.json.stdout.split("\n").length).toBeGreaterThan(2);
});

it("An attempt or step that a job does not have is an error that names the existing ones", async () => {
  const tracker = await TrackerProcess.start();
  await tracker.ends("submit", "--job", "none", "--", "true");
  await tracker.ends("run", "--job", "one", "--quiet", "--", "true");
  await tracker.ends("run", "--job", "three", "--quiet", "--setup", "true", "--setup", "true", "--", "true");
  const cases = [
    [64, ["logs", "--attempt", "0", "one"], 'Cannot use --attempt "0": expected a whole number from 1 on'],
    [64, ["metrics", "--attempt", "0", "one"], 'Cannot use --attempt "0": expected a whole number from 1 on'],
    [125, ["logs", "--attempt", "7", "one"], 'Job "one" has no attempt 7: the latest is 1'],
    [125, ["metrics", "--attempt", "7", "one"], 'Job "one" has no attempt 7: the latest is 1'],
    [125, ["logs", "-f", "--attempt", "2", "one"], 'Job "one" has no attempt 2: the latest is 1'],
    [125, ["logs", "--attempt", "1", "none"], 'Job "none" has no attempt 1: no agent has had it yet'],
    [64, ["logs", "--step", "2", "one"], 'Job "one" has no step 2: its only step is 1'],
    [64, ["logs", "--step", "1", "--step", "99", "three"], 'Job "three" has no step 99: its steps are 1 to 3'],
    [0, ["logs", "--step", "3", "three"], undefined],
  ] as const;
  const answers = await Promise.all(cases.map(([, [name, ...args]]) => tracker.ends(name, ...args)));
  expect(answers).toMatchObject(
    cases.map(([code, , text]) => ({ code, stdout: "", stderr: text === undefined ? "" : `belay: ${text}\n` })),
  );
});

it.skipIf(noTmux !== undefined)("The log view of belay top continues with the next attempt", async () => {
  const tracker = await TrackerProcess.start({ args: ["--lease", "1s"] });
  const run = tracker.belay("run", "--job", "j1", "--name", "n", "--", "sh", "-c", `${SCRIPT} echo; exec sleep 60`);
  await run.says(/attempt 1/);
  const terminal = await TmuxTerminal.belay(80, 12, ["top", "--tracker", tracker.url, "--interval", "300ms"]);
  await terminal.until(/j1 +RUNNING/);
  await terminal.type("l");
  await terminal.until(/attempt 1/);
  await run.kill("SIGKILL");
  await terminal.until(/log of j1.*LOST/);
  const second = tracker.belay("run", "--job", "j1");
  await second.says(/attempt 2/);
  await terminal.until(/attempt 1\n\nbelay: Attempt 1 of "j1" is over; attempt 2 follows\nattempt 2/);
});

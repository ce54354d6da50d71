import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { type Cli, belay, belayEnds, type Finished, tempDirectory } from "../helpers/cli.ts";
import { OtlpCollector } from "../helpers/otlp-collector.ts";

const SECRET = "hunter2-Hunter2";

/** A tracker with all its exports, and the bytes of everything that it or a command has shown. */
class ObservedTracker {
  readonly collector: OtlpCollector;
  readonly tracker: Cli;
  readonly url: string;
  /** Shown texts, by the command, call or page that showed them. */
  readonly seen = new Map<string, string>();

  private constructor(collector: OtlpCollector, tracker: Cli, url: string) {
    this.collector = collector;
    this.tracker = tracker;
    this.url = url;
  }

  static async start(): Promise<ObservedTracker> {
    const collector = await OtlpCollector.start();
    const otlp = ["--otlp-endpoint", collector.endpoint, "--otlp-metrics-interval", "100ms"];
    const args = ["tracker", "--listen", "127.0.0.1:0", "--data", await tempDirectory(), "--log-level", "trace"];
    const tracker = belay([...args, ...otlp]);
    const [, url = ""] = await tracker.says(/^listening on (\S+), data in /m);
    return new ObservedTracker(collector, tracker, url);
  }

  /** Calls with JSON, as curl would, and records the bytes of the answer. */
  async call(method: string, body: object): Promise<Record<string, unknown>> {
    const answer = await fetch(`${this.url}/belay.v1.JobService/${method}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    const text = await answer.text();
    this.record(`${method} as JSON`, text);
    return JSON.parse(text) as Record<string, unknown>;
  }

  /** Makes a streaming call with JSON until it ends by itself, and records the answers. */
  async stream(method: string, body: object): Promise<void> {
    const message = Buffer.from(JSON.stringify(body));
    const prefix = Buffer.alloc(5);
    prefix.writeUInt32BE(message.length, 1);
    const answer = await fetch(`${this.url}/belay.v1.JobService/${method}`, {
      method: "POST",
      headers: { "content-type": "application/connect+json", "connect-timeout-ms": "1000" },
      body: Buffer.concat([prefix, message]),
    });
    this.record(`${method} as a stream`, Buffer.from(await answer.arrayBuffer()).toString("latin1"));
  }

  async command(command: string, ...args: string[]): Promise<Finished> {
    const done = await belayEnds([command, "--tracker", this.url, ...args]);
    this.record(`belay ${command} ${args.join(" ")}`, done.stdout + done.stderr);
    return done;
  }

  record(by: string, text: string): void {
    this.seen.set(by, (this.seen.get(by) ?? "") + text);
  }

  /** Shows the job in every way that users have. */
  async showEverywhere(job: string): Promise<void> {
    await Promise.all([
      this.call("GetJob", { jobId: job }),
      this.call("ListJobs", {}),
      this.call("GetJobStatus", { jobId: job }),
      this.stream("WatchJob", { jobId: job }),
      this.stream("WatchJobs", {}),
      this.stream("ReadLogs", { jobId: job }),
      this.stream("ReadMetrics", { jobId: job }),
      this.command("show", job),
      this.command("jobs", "--json"),
      this.command("status", job),
      this.command("logs", job),
      this.command("metrics", "--csv", job),
      fetch(`${this.url}/metrics`).then(async (page) => this.record("the tracker's page", await page.text())),
    ]);
  }

  /** Names of the places that showed a text. */
  async placesThatShow(text: string): Promise<string[]> {
    this.record("the collector", Buffer.concat(this.collector.bodies).toString("latin1"));
    this.record("the tracker's log", this.tracker.stdout + this.tracker.stderr);
    return [...this.seen].filter(([, seen]) => seen.includes(text)).map(([by]) => by);
  }
}

/** Script of a job that tries to show a secret in every possible way. */
async function secretPrinter(): Promise<{ directory: string; go: string; script: string }> {
  const directory = path.join(await tempDirectory(), `in-${SECRET}`);
  await mkdir(directory);
  const go = path.join(directory, "go");
  const script = [
    `echo "out ${SECRET}"; echo "err ${SECRET}" >&2`,
    `echo 'progress=0.5 note="at ${SECRET}"' >> "$BELAY_METRICS"`,
    `echo '${SECRET}=1' >> "$BELAY_METRICS"; echo '= ${SECRET}' >> "$BELAY_METRICS"`,
    `sh -c 'until [ -e "$0" ]; do sleep 0.05; done; exit 3' '${go}'`,
  ].join("; ");
  return { directory, go, script };
}

describe("A secret is visible only to the job", { timeout: 60_000 }, () => {
  it("when it is a value of the submitted spec and part of every other field of it", async () => {
    const observed = await ObservedTracker.start();
    const { directory, go, script } = await secretPrinter();
    const spec = {
      name: `name ${SECRET}`,
      labels: { team: `of ${SECRET}`, [SECRET]: "as a key" },
      setup: [{ run: `echo 'step ${SECRET}'` }, { name: `second ${SECRET}`, run: "true" }],
      command: ["sh", "-c", script, SECRET],
      workingDirectory: directory,
      environment: { DB_PASS: SECRET, DATABASE_URL: `postgres://me:${SECRET}@db/x`, [`OF_${SECRET}`]: "1" },
      metricsInterval: "0.1s",
    };
    await observed.call("CreateJob", { jobId: "j", spec });
    const admin = path.join(await tempDirectory(), "admin");
    const flags = ["--tracker", observed.url, "--job", "j", "--log-level", "trace", "--admin", `unix:${admin}`];
    const agent = belay(["run", ...flags, "--agent-label", `x=${SECRET}`], { env: { AGENT_TOKEN: SECRET } });
    await agent.says(/out /);
    await observed.collector.until(() => observed.collector.latest("belay.job.progress"));
    await observed.showEverywhere("j");
    await observed.call("SignalJob", { jobId: "j", commandId: "s", signal: "SIGCONT" });
    await observed.call("CancelJob", { jobId: "j", commandId: "c", reason: `since ${SECRET}` });
    await writeFile(go, "");
    await agent.ended;
    observed.record("the agent's own output", agent.stdout + agent.stderr);
    await observed.collector.span("job name ***");
    await observed.showEverywhere("j");
    expect(await observed.placesThatShow(SECRET)).toEqual([]);
    // The texts were shown, with the secret replaced.
    expect(observed.seen.get("belay logs j")).toContain("out ***");
    expect(observed.seen.get("GetJob as JSON")).toContain("since ***");
    expect(observed.seen.get("belay show j")).toContain("name ***");
    expect(observed.collector.spans.map(({ name }) => name)).toContain("step echo 'step ***'");
  });

  it("when it comes from the agent's own environment", async () => {
    const observed = await ObservedTracker.start();
    const { directory, go, script } = await secretPrinter();
    const job = ["--job", "j", "--name", `name ${SECRET}`, "--label", `team=of ${SECRET}`, "--cwd", directory];
    const setup = ["--setup", `echo 'step ${SECRET}'`, "--env", `PLAIN=${SECRET}`, "--metrics-interval", "100ms"];
    const flags = ["--tracker", observed.url, "--log-level", "trace", "--agent-label", `x=${SECRET}`];
    const agent = belay(["run", ...flags, ...job, ...setup, "--", "sh", "-c", script, SECRET], {
      env: { DB_PASS: SECRET },
    });
    await agent.says(/out /);
    await observed.collector.until(() => observed.collector.latest("belay.job.progress"));
    await observed.showEverywhere("j");
    await writeFile(go, "");
    expect(await agent.ended).toBe(3);
    observed.record("the agent's own output", agent.stdout + agent.stderr);
    await observed.collector.span("job name ***");
    await observed.showEverywhere("j");
    expect(await observed.placesThatShow(SECRET)).toEqual([]);
    expect(observed.seen.get("GetJob as JSON")).toContain("of ***");
  });

  it("when the job fails, whatever the cause", async () => {
    const observed = await ObservedTracker.start();
    const jobs: Readonly<Record<string, readonly string[]>> = {
      "no-program": ["--", `/no/such/${SECRET}`],
      "no-directory": ["--cwd", `/no/such/${SECRET}`, "--", "true"],
      "not-executable": ["--setup", `: > '${SECRET}'; chmod +x '${SECRET}'`, "--", `./${SECRET}`],
      "setup-step": ["--setup", `exit 3 # ${SECRET}`, "--", "true"],
      "exit-code": ["--", "sh", "-c", `exit 3 # ${SECRET}`],
      "time-out": ["--timeout", "50ms", "--grace", "0", "--", "sh", "-c", `sleep 300 # ${SECRET}`],
      signal: ["--", "sh", "-c", `kill -9 $$ # ${SECRET}`],
    };
    const where = { env: { PGPASS: SECRET }, cwd: await tempDirectory() };
    await Promise.all(
      Object.entries(jobs).map(async ([job, args]) => {
        const agent = await belayEnds(["run", "--tracker", observed.url, "--job", job, ...args], where);
        expect(agent.code).not.toBe(0);
        observed.record(`the output of ${job}`, agent.stdout + agent.stderr);
        observed.record(`belay logs ${job}`, (await observed.command("logs", job)).stdout);
      }),
    );
    await observed.showEverywhere("no-program");
    await observed.collector.until(
      () => observed.collector.spans.filter(({ name }) => name.startsWith("job ")).length >= 7,
    );
    expect(await observed.placesThatShow(SECRET)).toEqual([]);
  });
});

describe("A variable", { timeout: 60_000 }, () => {
  it("is secret by its name unless it is exempted; --redact-env with a variable that is not set warns", async () => {
    const observed = await ObservedTracker.start();
    const env = {
      DB_PASS: "hunter2hunter2",
      npm_config__authToken: "npm-abcdef",
      SORT_KEY: "created_at",
      A_KEY: "plain-1",
    };
    const flags = ["--no-redact-env", "A_KEY", "--redact-env", "NO_SUCH", "--tracker", observed.url, "--job", "j"];
    const names = Object.keys(env);
    const agent = await belayEnds(["run", ...flags, "--", "printenv", ...names], { env });
    expect(agent.stdout).toBe("***\n***\ncreated_at\nplain-1\n");
    expect(agent.stderr).toContain("Cannot redact NO_SUCH: it is not set");
    const logs = await observed.command("logs", "j");
    expect(logs.stdout).toContain("***\n***\ncreated_at\nplain-1\n");
    expect(logs.stdout + logs.stderr).toContain("Cannot redact NO_SUCH: it is not set");
  });

  it("cannot be declared both secret and not secret", async () => {
    const both = await belayEnds(["run", "--redact-env", "X", "--no-redact-env", "X", "--", "true"]);
    expect(both.code).toBe(64);
    expect(both.stderr).toContain("Cannot use both --redact-env X and --no-redact-env X");
  });
});

describe("A secret that the job reports while it runs", { timeout: 60_000 }, () => {
  it.each([
    ["written with > instead of >>", "echo secret-1 > $F; echo secret-2 > $F; echo secret-1 secret-2"],
    ["appended without newlines", "printf %s secret-1 >> $F; printf %s secret-2 >> $F; echo secret-1 secret-2"],
    [
      "appended by a program",
      "echo secret-1 | tee -a $F > /dev/null; printf 'secret-2' | dd of=$F 2>&-; echo secret-1 secret-2",
    ],
    ["written by a setup step and by the command", "echo secret-2 > $F; echo secret-1 secret-2"],
    [
      "written to a descriptor that stays open",
      "exec 3>> $F; echo secret-1 >&3; echo secret-2 >&3; echo secret-1 secret-2",
    ],
    ["written to a file in its place", "rm $F; echo secret-1 > $F; echo secret-2 >> $F; echo secret-1 secret-2"],
  ])("is not in the log, %s", async (_, script) => {
    const observed = await ObservedTracker.start();
    const setup = ["--setup", 'F=$BELAY_REDACT; printf %s secret-1 > "$F"'];
    const args = script.startsWith("echo secret-2 > $F; echo secret-1") ? setup : [];
    const run = [
      "run",
      "--tracker",
      observed.url,
      "--job",
      "j",
      ...args,
      "--",
      "sh",
      "-c",
      `F=$BELAY_REDACT; ${script}`,
    ];
    const agent = await belayEnds(run);
    expect(agent.stdout).toBe("*** ***\n");
    expect((await observed.command("logs", "j")).stdout).toContain("*** ***\n");
  });

  const isRoot = process.getuid?.() === 0;
  it.skipIf(!isRoot)("is not in the log of a job that gave up root", async () => {
    const observed = await ObservedTracker.start();
    const script = "echo secret-1 >> $BELAY_REDACT && echo secret-1; cat $BELAY_REDACT || echo not read";
    const drop = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "sh", "-c", script];
    const agent = await belayEnds(["run", "--tracker", observed.url, "--", ...drop]);
    expect(agent.stdout).toBe("***\nnot read\n");
  });
});

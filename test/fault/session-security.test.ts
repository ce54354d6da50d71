import { execFileSync, spawnSync } from "node:child_process";
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import path from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { belay, tempDirectory, TrackerProcess } from "../helpers/cli.ts";

// Through the built command: the identities of tracker and agent, and the connection between them.

const noOpenssl = spawnSync("openssl", ["version"]).error !== undefined;

let pki = "";

function openssl(...args: string[]): void {
  execFileSync("openssl", args, { cwd: pki, stdio: "ignore" });
}

/** Makes an authority `ca`, its certificates `tracker` and `worker-7`, and a second authority that is not trusted. */
function makeCertificates(): void {
  for (const ca of ["ca", "other-ca"]) {
    const subject = ["-subj", `/CN=${ca}`, "-days", "2", "-keyout", `${ca}.key`, "-out", `${ca}.pem`];
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", ...subject);
  }
  writeFileSync(path.join(pki, "names"), "subjectAltName=IP:127.0.0.1,DNS:localhost\n");
  for (const [name, ca] of [
    ["tracker", "ca"],
    ["worker-7", "ca"],
    ["stranger", "other-ca"],
  ] as const) {
    const request = ["-subj", `/CN=${name}`, "-keyout", `${name}.key`, "-out", `${name}.csr`];
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", ...request);
    const signer = ["-CA", `${ca}.pem`, "-CAkey", `${ca}.key`, "-CAcreateserial", "-days", "2", "-extfile", "names"];
    openssl("x509", "-req", "-in", `${name}.csr`, "-out", `${name}.pem`, ...signer);
  }
}

const file = (name: string): string => path.join(pki, name);

/** A file with one line. */
async function secret(text: string): Promise<string> {
  const at = path.join(await tempDirectory(), "token");
  writeFileSync(at, `${text}\n`);
  return at;
}

describe.skipIf(noOpenssl)("With TLS", () => {
  beforeAll(() => {
    pki = mkdtempSync(path.join(tmpdir(), "belay-pki-"));
    makeCertificates();
    return () => rmSync(pki, { recursive: true, force: true });
  });
  const serving = (): string[] => ["--tls-cert", file("tracker.pem"), "--tls-key", file("tracker.key")];

  it("an agent that trusts the authority runs its job; an agent that does not reports what is wrong", async () => {
    const tracker = await TrackerProcess.start({ args: serving() });
    expect(tracker.url).toMatch(/^https:/);
    const ca = ["--ca", file("ca.pem")];
    const good = await tracker.ends("run", ...ca, "--job", "j1", "--", "echo", "hello");
    expect(good).toMatchObject({ code: 0, stdout: "hello\n" });
    expect((await tracker.ends("logs", ...ca, "--stream", "stdout", "j1")).stdout).toBe("hello\n");
    const bad = await tracker.ends(
      "run",
      "--ca",
      file("other-ca.pem"),
      "--connect-timeout",
      "1s",
      "--",
      "echo",
      "hello",
    );
    expect(bad).toMatchObject({ code: 125, stdout: "" });
    expect(bad.stderr).toMatch(/certificate/i);
  });

  it("a client certificate is required, and its name is recorded with the attempt", async () => {
    const tracker = await TrackerProcess.start({ args: [...serving(), "--client-ca", file("ca.pem")] });
    const as = (name: string): string[] => [
      "--ca",
      file("ca.pem"),
      "--cert",
      file(`${name}.pem`),
      "--key",
      file(`${name}.key`),
    ];
    expect(await tracker.ends("run", ...as("worker-7"), "--job", "j1", "--", "true")).toMatchObject({ code: 0 });
    const shown = await tracker.ends("show", "--json", ...as("worker-7"), "j1");
    expect(shown.stdout).toMatch(/"principal": *"worker-7"/);
    const stranger = await tracker.ends("run", ...as("stranger"), "--connect-timeout", "1s", "--", "echo", "hello");
    expect(stranger).toMatchObject({ code: 125, stdout: "" });
    const nobody = await tracker.ends("run", "--ca", file("ca.pem"), "--connect-timeout", "1s", "--", "echo", "hello");
    expect(nobody).toMatchObject({ code: 125, stdout: "" });
    expect(nobody.stderr).toMatch(/--cert and --key/);
    expect((await tracker.ends("jobs", "--ca", file("ca.pem"))).stderr).toMatch(/--cert and --key/);
  });
});

describe("A token", () => {
  it("is read again for each stream, so that it can be replaced while the job runs", async () => {
    const operator = await secret("operator-secret-0123456789");
    const data = await tempDirectory();
    const tokens = await secret("old-agent-secret-0123456789");
    const args = ["--agent-tokens", tokens, "--operator-tokens", operator];
    let tracker = await TrackerProcess.start({ data, args });
    const mine = await secret("old-agent-secret-0123456789");
    const end = path.join(await tempDirectory(), "end");
    const script = `echo ready; while [ ! -e ${end} ]; do sleep 0.05; done; echo done`;
    const flags = ["--tracker", tracker.url, "--token-file", mine, "--job", "j1", "--log-level", "debug"];
    const run = belay(["run", ...flags, "--", "sh", "-c", script]);
    await run.says(/^ready$/m);
    await tracker.cli.kill("SIGTERM");
    writeFileSync(tokens, "new-agent-secret-0123456789\n");
    tracker = await TrackerProcess.start({ data, args, listen: new URL(tracker.url).host });
    // The agent is rejected and goes on trying: a token that is being replaced must not end a job.
    await run.says(/UNAUTHENTICATED/);
    // As tokens are replaced in practice: a new file takes the place of the old one.
    writeFileSync(`${mine}.new`, "new-agent-secret-0123456789\n");
    renameSync(`${mine}.new`, mine);
    writeFileSync(end, "");
    expect(await run.ended, run.stderr).toBe(0);
    const logs = await tracker.ends("logs", "--token-file", operator, "--stream", "stdout", "j1");
    expect(logs.stdout).toBe("ready\ndone\n");
    expect(run.stdout).toBe("ready\ndone\n");
    expect(readFileSync(mine, "utf8")).toContain("new-agent");
  });

  it("that is wrong is rejected at once, before anything has run", async () => {
    const args = ["--agent-tokens", await secret("right-agent-secret-0123456789")];
    const tracker = await TrackerProcess.start({ args });
    const wrong = await tracker.ends(
      "run",
      "--token-file",
      await secret("wrong-secret-0123456789"),
      "--",
      "echo",
      "ran",
    );
    expect(wrong).toMatchObject({ code: 125, stdout: "" });
    expect(wrong.stderr).toMatch(/not known/);
  });
});

describe("A unix socket", () => {
  it("is used for run, logs and cancel", async () => {
    const at = path.join(await tempDirectory(), "belay.sock");
    const tracker = await TrackerProcess.start({ listen: `unix:${at}` });
    expect(tracker.url).toBe(`unix:${at}`);
    expect(await tracker.ends("run", "--job", "j1", "--", "echo", "hello")).toMatchObject({
      code: 0,
      stdout: "hello\n",
    });
    expect((await tracker.ends("logs", "--stream", "stdout", "j1")).stdout).toBe("hello\n");
    const run = tracker.belay("run", "--job", "j2", "--", "sh", "-c", "echo ready; exec sleep 1000");
    await run.says(/ready/);
    expect((await tracker.ends("cancel", "--wait", "j2")).code).toBe(0);
    expect(await run.ended).toBe(143);
  });
});

describe("Commands through the built command", () => {
  it("belay cancel reports that the agent is away; --wait waits until the agent is back and the job has ended", async () => {
    const tracker = await TrackerProcess.start({ args: ["--lease", "2s"] });
    const run = tracker.belay("run", "--job", "j1", "--", "sh", "-c", "echo ready; exec sleep 1000");
    await run.says(/ready/);
    process.kill(run.pid, "SIGSTOP");
    const wait = tracker.belay("wait", "--timeout", "30s", "j1");
    let state = "";
    while (!/LOST/.test(state)) state = (await tracker.ends("jobs")).stdout;
    const plain = await tracker.ends("cancel", "j1");
    expect(plain).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^j1 will be canceled when its agent is back/) as unknown,
    });
    const waiting = tracker.belay("cancel", "--wait", "j1");
    await waiting.says(/The agent is not connected; it gets the order when it is back/);
    process.kill(run.pid, "SIGCONT");
    expect(await waiting.ended, waiting.stderr).toBe(0);
    expect(waiting.stdout).toMatch(/^j1 is CANCELED/);
    expect(await run.ended).toBe(143);
    await wait.ended;
  });

  it("a superseded agent kills its job, exits with 125 and reports why", async () => {
    const tracker = await TrackerProcess.start({ args: ["--lease", "1s"] });
    const script = "echo pid $$; exec sleep 1000";
    const first = tracker.belay("run", "--job", "j1", "--", "sh", "-c", script);
    await first.says(/^pid \d+$/m);
    process.kill(first.pid, "SIGSTOP");
    let state = "";
    while (!/LOST/.test(state)) state = (await tracker.ends("jobs")).stdout;
    const second = tracker.belay("run", "--job", "j1", "--", "sh", "-c", script);
    await second.says(/^pid \d+$/m);
    process.kill(first.pid, "SIGCONT");
    expect(await first.ended).toBe(125);
    expect(first.stderr).toMatch(/is no longer this agent's: Attempt 1 of job "j1" was superseded by attempt 2/);
    expect((await tracker.ends("cancel", "--wait", "j1")).code).toBe(0);
    expect(await second.ended).toBe(143);
  });
});

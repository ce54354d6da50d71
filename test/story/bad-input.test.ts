import { writeFile } from "node:fs/promises";
import { createServer as createHttpServer } from "node:http";
import { connect, createServer } from "node:net";
import type { AddressInfo, Server } from "node:net";
import path from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { belayEnds, tempDirectory, TrackerProcess } from "../helpers/cli.ts";

const servers = new Set<Server>();
afterEach(() => {
  for (const server of servers) server.close();
  servers.clear();
});

describe("A user who types a command line that cannot be used gets one sentence and exit code 64", () => {
  it.each([
    [
      "an unknown flag",
      ["run", "--tmeout", "5s", "--", "true"],
      /^belay: Unknown flag "--tmeout".*did you mean "--timeout"\?$/m,
    ],
    [
      "a bad value",
      ["run", "--timeout", "5x", "--", "true"],
      /^belay: Cannot parse --timeout "5x": expected a duration/m,
    ],
    ["an unknown command", ["stauts"], /^belay: Unknown command "stauts": did you mean "status"\?$/m],
    ["nothing to run", ["run"], /^belay: Nothing to run: /m],
    [
      "job flags without a job",
      ["run", "--job", "j", "--timeout", "5s"],
      /^belay: Cannot use --timeout without a job/m,
    ],
    [
      "a bad URL",
      ["jobs", "--tracker", "localhost:7070"],
      /^belay: Cannot use --tracker "localhost:7070": it has no scheme/m,
    ],
    [
      "a bad URL for an agent",
      ["run", "--tracker", "nonsense", "--", "true"],
      /^belay: .*"nonsense".*http:\/\/host:port/m,
    ],
    [
      "a job id with a slash",
      ["run", "--job", "a/b", "--", "true"],
      /^belay: Cannot use --job "a\/b": expected 1 to 128/m,
    ],
    ["a job id of 300 characters", ["show", "x".repeat(300)], /^belay: Cannot use job id "x{40}…" has 300 characters/m],
    ["a missing argument", ["show"], /^belay: belay show needs an argument <job>/m],
    [
      "a missing spec file",
      ["run", "--spec", "/no/such.yaml"],
      /^belay: Cannot read the spec \/no\/such.yaml: there is no such file$/m,
    ],
    ["a signal that does not exist", ["signal", "j1", "FOO"], /^belay: Cannot use the signal "FOO"/m],
  ])("for %s", async (_, args, message) => {
    const done = await belayEnds(args);
    expect(done.stderr).toMatch(message);
    expect(done).toMatchObject({ code: 64, stdout: "" });
  });

  it("for a malformed spec file, with line and key", async () => {
    const file = path.join(await tempDirectory(), "job.yaml");
    await writeFile(file, "name: x\ncommand: [echo]\nsetup:\n  - rum: npm ci\n");
    const done = await belayEnds(["run", "--spec", file]);
    expect(done.stderr).toBe(`belay: Cannot use the spec ${file}:4: setup[0].rum: unknown key: did you mean "run"?\n`);
    expect(done.code).toBe(64);
  });
});

describe("A user who gives the address of a server that is not a tracker reads what the server is", () => {
  const quick = ["--connect-timeout", "1s"];

  it("when it is a web server", async () => {
    const address = await listen(createHttpServer((_, response) => response.end("<html>hello</html>")));
    const done = await belayEnds(["jobs", "--tracker", `http://${address}`, ...quick]);
    expect(done.code).toBe(125);
    expect(done.stderr).toMatch(/not a Belay tracker/);
    const run = await belayEnds(["run", "--tracker", `http://${address}`, ...quick, "--", "true"]);
    expect(run.code).toBe(125);
    expect(run.stderr).toMatch(/^belay: .*not a Belay tracker.*; gave up after 1\.\ds$/m);
  });

  it("when it closes the connection", async () => {
    const address = await listen(createServer((socket) => socket.destroy()));
    const done = await belayEnds(["jobs", "--tracker", `http://${address}`, ...quick]);
    expect(done.code).toBe(125);
    expect(done.stderr).toMatch(/closed the connection.*gave up after 1\.\ds$/m);
  });

  it("when it expects https and the address has http", async () => {
    const tls = path.resolve(import.meta.dirname, "../fixtures/tls");
    const [cert, key] = [path.join(tls, "cert.pem"), path.join(tls, "key.pem")];
    const tracker = await TrackerProcess.start({ args: ["--tls-cert", cert, "--tls-key", key] });
    const plain = tracker.url.replace("https:", "http:");
    for (const command of [["jobs"], ["run", "--", "true"]]) {
      const [name = "", ...rest] = command;
      const done = await belayEnds([name, "--tracker", plain, ...quick, ...rest]);
      expect(done.code).toBe(125);
      expect(done.stderr, name).toMatch(/^belay: .*it speaks TLS: use https:\/\/ instead of http:\/\//m);
    }
    const right = await tracker.ends("run", "--ca", cert, "--", "echo", "works");
    expect(right).toMatchObject({ code: 0, stdout: "works\n", stderr: "" });
  });

  it("when it expects http and the address has https", async () => {
    const tracker = await TrackerProcess.start();
    const done = await belayEnds(["jobs", "--tracker", tracker.url.replace("http:", "https:"), ...quick]);
    expect(done.code).toBe(125);
    expect(done.stderr).toMatch(/does not speak TLS: use http:\/\/ instead of https:\/\/$/m);
  });

  it("when nothing listens there", async () => {
    const done = await belayEnds(["show", "j1", "--tracker", "http://127.0.0.1:1", ...quick]);
    expect(done.code).toBe(125);
    expect(done.stderr).toMatch(
      /^belay: Cannot reach the tracker at http:\/\/127.0.0.1:1: connection refused; gave up/m,
    );
  });
});

describe("A tracker rejects a call that it cannot serve with the reason, and goes on", () => {
  it("for an unknown job, with the job's id", async () => {
    const tracker = await TrackerProcess.start();
    for (const command of ["show", "status", "logs", "cancel", "wait", "pause", "resume"]) {
      const done = await tracker.ends(command, "nope");
      expect(done, command).toMatchObject({ code: 125, stdout: "" });
      expect(done.stderr, command).toMatch(/^belay: .*nope/);
    }
    const run = await tracker.ends("run", "--job", "nope");
    expect(run.code).toBe(125);
    expect(run.stderr).toMatch(/nope/);
  });

  it("after garbage on its port, which harms no job", async () => {
    const tracker = await TrackerProcess.start();
    const { hostname, port } = new URL(tracker.url);
    for (const garbage of [
      "\0\0\0\0",
      "GET / HTTP/9.9\r\n\r\n",
      "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff",
      "x".repeat(100_000),
    ]) {
      await new Promise<void>((resolve) => {
        const socket = connect({ host: hostname, port: Number(port) }, () => socket.end(garbage, "latin1"));
        socket.on("error", () => undefined).on("close", () => resolve());
        socket.resume();
      });
    }
    expect((await tracker.ends("run", "--", "echo", "works")).stdout).toBe("works\n");
    expect(tracker.cli.child.exitCode).toBeNull();
  });

  it("for an id that another job has; submitting the same job again is not an error", async () => {
    const tracker = await TrackerProcess.start();
    expect((await tracker.ends("submit", "--job", "j1", "--", "echo", "a")).code).toBe(0);
    expect((await tracker.ends("submit", "--job", "j1", "--", "echo", "a")).stdout).toBe("j1\n");
    const other = await tracker.ends("submit", "--job", "j1", "--", "echo", "b");
    expect(other.code).toBe(125);
    expect(other.stderr).toMatch(/^belay: .*j1/);
  });

  it("for a port or a data directory in use, with its name", async () => {
    const tracker = await TrackerProcess.start();
    const { host } = new URL(tracker.url);
    const taken = await belayEnds(["tracker", "--listen", host, "--data", await tempDirectory()]);
    expect(taken.code).toBe(125);
    expect(taken.stderr).toMatch(new RegExp(`^belay: .*${host}`, "m"));
    const second = await belayEnds(["tracker", "--listen", "127.0.0.1:0", "--data", tracker.data]);
    expect(second.code).toBe(125);
    expect(second.stderr).toMatch(new RegExp(`^belay: .*${tracker.data}`, "m"));
  });
});

async function listen(server: Server): Promise<string> {
  servers.add(server);
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

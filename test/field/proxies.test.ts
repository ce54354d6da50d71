import { writeFile } from "node:fs/promises";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { belay, belayEnds, type Finished, tempDirectory, TrackerProcess } from "../helpers/cli.ts";
import { certificate, noOpenssl } from "../helpers/certificate.ts";
import { connectProxy } from "../helpers/connect-proxy.ts";

/** A host name that only the proxy can resolve. */
const NAME = "tracker.test";

/** Flags for calls that must succeed even on a busy machine. */
const PATIENT = ["--connect-timeout", "15s"];

/** Runs an agent and a command against an address, with a short connect timeout unless flags set another. */
function both(url: string, env: Record<string, string>, ...flags: string[]): Promise<[Finished, Finished]> {
  const common = ["--tracker", url, "--connect-timeout", "500ms", ...flags];
  return Promise.all([belayEnds(["run", ...common, "--", "true"], { env }), belayEnds(["jobs", ...common], { env })]);
}

describe("A proxy is used by agent and commands alike", () => {
  it.each([
    ["http_proxy", (proxy: string) => `http://${proxy}`],
    ["HTTP_PROXY", (proxy: string) => `http://${proxy}/`],
    ["GRPC_PROXY", (proxy: string) => proxy],
    ["ALL_PROXY", (proxy: string) => `http://us%40er:pass@${proxy}`],
  ])("%s", async (variable, value) => {
    const tracker = await TrackerProcess.start();
    const proxy = await connectProxy({ to: tracker.url });
    const done = await both(`http://${NAME}:7070`, { [variable]: value(proxy.host) }, ...PATIENT);
    for (const { code, stderr } of done)
      expect({ code, stderr: stderr.replace(/^No jobs yet[^]*/, "") }).toEqual({ code: 0, stderr: "" });
    const asked = variable === "ALL_PROXY" ? `${NAME}:7070 by us@er:pass` : `${NAME}:7070`;
    expect(proxy.asked).toEqual([asked, asked]);
  });

  it.skipIf(noOpenssl)(
    "https_proxy, for a tracker with TLS; the certificate must have the tracker's name",
    async () => {
      const directory = await tempDirectory();
      const file = (name: string): string => path.join(directory, name);
      const { cert, key } = certificate(NAME, { names: [`DNS:${NAME}`] });
      await writeFile(file("cert"), cert);
      await writeFile(file("key"), key);
      const tracker = await TrackerProcess.start({ args: ["--tls-cert", file("cert"), "--tls-key", file("key")] });
      const proxy = await connectProxy({ to: tracker.url });
      const env = { https_proxy: `http://${proxy.host}`, http_proxy: "http://127.0.0.1:9" };
      for (const { code } of await both(`https://${NAME}`, env, "--ca", file("cert"), ...PATIENT)) expect(code).toBe(0);
      expect(new Set(proxy.asked)).toEqual(new Set([`${NAME}:443`]));
      for (const { code, stderr } of await both("https://other.test", env, "--ca", file("cert"))) {
        expect(code).toBe(125);
        expect(stderr).toMatch(
          /^belay: Cannot reach the tracker at https:\/\/other\.test: its certificate is for tracker\.test, not for other\.test \(/m,
        );
      }
    },
  );

  it("An agent reconnects through a proxy as soon as without one after its tracker was away", async () => {
    const tracker = await TrackerProcess.start();
    const proxy = await connectProxy({ to: tracker.url });
    const env = { http_proxy: `http://${proxy.host}` };
    const go = path.join(await tempDirectory(), "go");
    const job = `echo begin; while [ ! -e ${go} ]; do sleep 0.1; done; echo end`;
    const run = belay(["run", "--tracker", `http://${NAME}`, "--job", "j1", "--", "sh", "-c", job], { env });
    await run.says(/begin/);
    const logs = belay(["logs", "-f", "--tracker", `http://${NAME}`, "j1"], { env });
    await logs.says(/begin/);
    await tracker.killAndRestart();
    await writeFile(go, "");
    expect(await logs.ended).toBe(0);
    expect(logs.stdout).toBe("begin\nend\n");
    expect(await run.ended).toBe(0);
  });
});

describe("A tracker on this machine is reached without a proxy", () => {
  it.each(["127.0.0.1:0", "localhost:0", "unix"])("%s", async (listen) => {
    const at = listen === "unix" ? `unix:${path.join(await tempDirectory(), "s")}` : listen;
    const tracker = await TrackerProcess.start({ listen: at });
    const proxy = await connectProxy({ answer: "HTTP/1.1 403 Forbidden\r\n\r\n" });
    const all = Object.fromEntries(
      ["http_proxy", "https_proxy", "grpc_proxy", "all_proxy"].map((name) => [name, `http://${proxy.host}`]),
    );
    for (const { code } of await both(tracker.url, all, ...PATIENT)) expect(code).toBe(0);
    expect(proxy.asked).toEqual([]);
  });
});

it("The proxy is not used for addresses in no_proxy", async () => {
  const proxy = await connectProxy({ answer: "HTTP/1.1 403 Forbidden\r\n\r\n" });
  const env = { http_proxy: `http://${proxy.host}`, no_proxy: "*" };
  for (const { code, stderr } of await both(`http://${NAME}.invalid`, env)) {
    expect(code).toBe(125);
    expect(stderr).toMatch(/no such host|cannot be looked up/);
    expect(stderr).not.toContain("proxy");
  }
  expect(proxy.asked).toEqual([]);
});

describe("A problem with a proxy is reported in a sentence that names the proxy and its variable", () => {
  const answers: [what: string, answer: string | undefined, says: string][] = [
    ["nothing listens there", undefined, "cannot be reached: connection refused"],
    [
      "it wants a password",
      "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
      `does not connect to ${NAME}:7070: it requires a user and a password, as in http://user:password@host:port (407 Proxy Authentication Required)`,
    ],
    ["it forbids", "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", "it does not allow this (403 Forbidden)"],
    ["the tracker is away", "HTTP/1.1 502 Bad Gateway\r\n\r\n", "it cannot reach the tracker now (502 Bad Gateway)"],
    ["it hangs up", "", "cannot be reached: it closed the connection without an answer"],
    ["it is something else", "220 mail.example ESMTP\r\n\r\n", "does not answer like a proxy"],
  ];

  it.each(answers)("%s", async (_, answer, says) => {
    const at = answer === undefined ? "127.0.0.1:9" : (await connectProxy({ answer })).host;
    const done = await both(`http://${NAME}:7070`, { http_proxy: `http://me:hunter2@${at}` });
    for (const { code, stderr } of done) {
      expect(code).toBe(125);
      expect(stderr.trimEnd().split("\n").length).toBeLessThan(3);
      expect(stderr).toContain(
        `belay: Cannot reach the tracker at http://${NAME}:7070: the proxy http://${at} of http_proxy ${says}`.slice(
          0,
          90,
        ),
      );
      expect(stderr).toContain(says);
      expect(stderr).not.toMatch(/hunter2|undefined|Error:/);
    }
  });

  it.each([
    ["socks5://127.0.0.1:1080", "socks5://127.0.0.1:1080"],
    ["https://me:hunter2@127.0.0.1:443", "https://127.0.0.1"],
    ["http://me:hunter2@:80", ":80"],
    ["http://[::1", "http://[::1"],
  ])("%s", async (value, shown) => {
    const [run, jobs] = await both(`http://${NAME}:7070`, { ALL_PROXY: value });
    expect(run).toMatchObject({
      code: 64,
      stderr: `belay: Cannot use the proxy "${shown}" of ALL_PROXY: expected http://host:port; no_proxy names trackers that are reached without a proxy\n`,
    });
    expect(jobs).toEqual(run);
  });
});

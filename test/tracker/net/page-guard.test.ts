import { once } from "node:events";
import { request, type IncomingMessage } from "node:http";
import { connect as connectHttp2, type IncomingHttpHeaders } from "node:http2";
import { text } from "node:stream/consumers";
import { describe, expect, it } from "vitest";
import { testDirectory, testTracker } from "../../helpers/tracker.ts";
import { certificate, noOpenssl } from "../../helpers/certificate.ts";

const CREATE = "/belay.v1.JobService/CreateJob";
const BODY = JSON.stringify({ spec: { command: ["touch", "/tmp/owned"] } });

/** Calls or reads as a program or browser of HTTP/1.1 does. */
async function http1(
  address: string,
  path: string,
  headers: Record<string, string>,
): Promise<{ status: number; text: string }> {
  const post = path === CREATE;
  const { hostname, port } = new URL(address);
  const call = request({
    ...(address.startsWith("unix:") ? { socketPath: address.slice("unix:".length) } : { hostname, port }),
    path,
    method: post ? "POST" : "GET",
    headers: { ...headers, ...(post && { "content-type": "application/json" }) },
  });
  call.end(post ? BODY : "");
  const [answer] = (await once(call, "response")) as [IncomingMessage];
  return { status: answer.statusCode ?? 0, text: await text(answer) };
}

describe("A tracker without tokens on loopback", () => {
  it.each<[what: string, headers: Record<string, string>, says: RegExp]>([
    [
      "a page of DNS rebinding",
      { host: "evil.example:7070", origin: "http://evil.example:7070" },
      /Pages of http:\/\/evil\.example:7070 may not call/,
    ],
    [
      "the same, reading",
      { host: "evil.example:7070" },
      /is not known as "evil\.example:7070".*--cors http:\/\/evil\.example:7070/,
    ],
    [
      "a page of another site",
      { host: "127.0.0.1:7070", origin: "https://evil.example" },
      /Pages of https:\/\/evil\.example/,
    ],
    [
      "a page of another program on this machine",
      { host: "127.0.0.1:7070", origin: "http://127.0.0.1:3000" },
      /Pages of http:\/\/127\.0\.0\.1:3000/,
    ],
    ["a sandboxed page", { host: "127.0.0.1:7070", origin: "null" }, /Pages of null/],
    [
      "a name that begins as loopback does",
      { host: "127.0.0.1.evil.example" },
      /not known as "127\.0\.0\.1\.evil\.example"/,
    ],
    ["a name that ends in localhost's letters", { host: "evillocalhost" }, /not known as/],
  ])("refuses %s", async (_, headers, says) => {
    const { address, jobs } = await testTracker();
    const call = await http1(address, CREATE, headers);
    expect(call.status).toBe(403);
    expect(JSON.parse(call.text)).toMatchObject({
      code: "permission_denied",
      message: expect.stringMatching(says) as string,
    });
    expect((await jobs.listJobs({})).jobs).toEqual([]);
    const page = await http1(address, "/metrics", headers);
    expect(page.status).toBe(403);
    expect(page.text).toMatch(says);
    // Harmless, and asked by probes that call by any name.
    expect((await http1(address, "/healthz", headers)).status).toBe(200);
    expect((await http1(address, "/readyz", headers)).status).toBe(200);
  });

  it.each<[what: string, headers: Record<string, string>]>([
    ["curl", { host: "127.0.0.1:7070" }],
    ["a forwarded port", { host: "localhost:8080" }],
    ["a forwarded port's page", { host: "localhost:8080", origin: "http://localhost:8080" }],
    ["IPv6", { host: "[::1]:7070" }],
    ["a name below localhost", { host: "belay.LOCALHOST.:1" }],
    ["a probe by the machine's address", { host: "10.1.2.3:7070" }],
  ])("answers %s", async (_, headers) => {
    const { address } = await testTracker();
    expect((await http1(address, CREATE, headers)).status).toBe(200);
    expect((await http1(address, "/metrics", headers)).status).toBe(200);
  });

  it("answers gRPC under any name, as proxies pass it on, but no page behind them", async () => {
    const { address } = await testTracker();
    const session = connectHttp2(address);
    const call = async (headers: Record<string, string>): Promise<string> => {
      const stream = session.request({
        ":method": "POST",
        ":path": CREATE,
        "content-type": "application/json",
        ...headers,
      });
      stream.end(BODY);
      const [answer] = (await once(stream, "response")) as [IncomingHttpHeaders];
      stream.resume();
      return String(answer[":status"]);
    };
    expect(await call({ ":authority": "ci.example.org" })).toBe("200");
    expect(await call({ ":authority": "ci.example.org", origin: "https://ci.example.org" })).toBe("403");
    session.destroy();
  });

  it("answers pages that --cors names, and their host's name", async () => {
    const cors = ["http://ci.example.org:8080"];
    const { address } = await testTracker({ cors });
    const host = { host: "ci.example.org" };
    expect((await http1(address, CREATE, { ...host, origin: "http://ci.example.org:8080" })).status).toBe(200);
    expect((await http1(address, "/metrics", host)).status).toBe(200);
    expect((await http1(address, CREATE, { host: "other.example" })).status).toBe(403);
    const all = await testTracker({ cors: ["*"] });
    expect((await http1(all.address, CREATE, { host: "a", origin: "http://b" })).status).toBe(200);
  });
});

describe("Nothing is asked of Host", () => {
  const hostile = { host: "evil.example" };

  it("at a socket, which no browser reaches", async () => {
    const { address } = await testTracker({ listen: `unix:${await testDirectory()}/s` });
    expect((await http1(address, CREATE, hostile)).status).toBe(200);
    expect((await http1(address, CREATE, { ...hostile, origin: "http://other.example" })).status).toBe(403);
  });

  it("beyond this machine, where --insecure has allowed all", async () => {
    const { address } = await testTracker({ listen: "0.0.0.0:0", insecure: true });
    expect((await http1(address, CREATE, hostile)).status).toBe(200);
    expect((await http1(address, CREATE, { ...hostile, origin: "http://other.example" })).status).toBe(403);
  });

  it("with tokens, which no page has", async () => {
    const { address } = await testTracker({ tokens: { agent: [], operator: ["t"] } });
    const headers = { ...hostile, origin: "http://evil.example" };
    expect((await http1(address, CREATE, { ...headers, authorization: "Bearer t" })).status).toBe(200);
    expect((await http1(address, CREATE, headers)).status).toBe(401);
  });

  it.skipIf(noOpenssl)("over TLS, where the certificate has proved the name", async () => {
    const { address } = await testTracker({ tls: certificate("tracker") });
    const session = connectHttp2(address, { rejectUnauthorized: false });
    const stream = session.request({ ":path": "/metrics", ":authority": "evil.example" });
    const [answer] = (await once(stream, "response")) as [IncomingHttpHeaders];
    expect(answer[":status"]).toBe(200);
    session.destroy();
  });
});

import { describe, expect, it } from "vitest";
import { proxyTo } from "../../../src/base/network/proxy.ts";
import { isExempt } from "../../../src/base/network/proxy/no-proxy.ts";
import { parseTrackerAddresses } from "../../../src/base/network/tracker-address.ts";

type Environment = Record<string, string>;

function to(url: string, environment: Environment): ReturnType<typeof proxyTo> {
  const [address] = parseTrackerAddresses(url);
  if (address === undefined) throw new Error("No address");
  return proxyTo(address, environment);
}

describe("The proxy to a tracker", () => {
  it.each<[environment: Environment, http: string | undefined, https: string | undefined]>([
    [{}, undefined, undefined],
    [{ http_proxy: "http://p:1" }, "the proxy http://p:1 of http_proxy", undefined],
    [{ https_proxy: "http://p:1" }, undefined, "the proxy http://p:1 of https_proxy"],
    [{ HTTPS_PROXY: "http://p:1" }, undefined, "the proxy http://p:1 of HTTPS_PROXY"],
    [{ all_proxy: "http://p" }, "the proxy http://p:80 of all_proxy", "the proxy http://p:80 of all_proxy"],
    [
      { grpc_proxy: "p:1", http_proxy: "q:1", https_proxy: "q:1" },
      "the proxy http://p:1 of grpc_proxy",
      "the proxy http://p:1 of grpc_proxy",
    ],
    [{ http_proxy: "p:1", HTTP_PROXY: "q:1" }, "the proxy http://p:1 of http_proxy", undefined],
    [{ http_proxy: "", HTTP_PROXY: " q " }, "the proxy http://q:80 of HTTP_PROXY", undefined],
    // A CGI program: the client has set it by a header "Proxy".
    [{ HTTP_PROXY: "q:1", REQUEST_METHOD: "GET" }, undefined, undefined],
    [{ http_proxy: "http://[2001:db8::1]:3128" }, "the proxy http://[2001:db8::1]:3128 of http_proxy", undefined],
    [{ ALL_PROXY: "p:1", NO_PROXY: "example.org" }, undefined, undefined],
    [
      { ALL_PROXY: "p:1", no_grpc_proxy: "other", no_proxy: "*" },
      "the proxy http://p:1 of ALL_PROXY",
      "the proxy http://p:1 of ALL_PROXY",
    ],
  ])("%j", async (environment, http, https) => {
    expect((await to("http://tracker.example.org:7070", environment))?.text).toBe(http);
    expect((await to("https://tracker.example.org", environment))?.text).toBe(https);
  });

  it.each([
    "http://127.0.0.1:1",
    "http://localhost:1",
    "http://[::1]:1",
    "http://[::ffff:127.0.0.1]:1",
    "http://0.0.0.0:1",
    "unix:/s",
  ])("is none for %s", async (url) => {
    expect(await to(url, { http_proxy: "p:1", all_proxy: "p:1" })).toBeUndefined();
  });

  it("gets the credentials of its variable, decoded", async () => {
    const proxy = await to("http://a", { http_proxy: "http://us%40er:100%25%@p:1" });
    expect(proxy?.authorization).toBe(`Basic ${Buffer.from("us@er:100%25%").toString("base64")}`);
    expect(proxy?.text).not.toContain("us");
  });
});

describe("no_proxy", () => {
  it.each([
    ["*", "a.example.org"],
    ["x, *", "a.example.org"],
    ["example.org", "example.org"],
    ["example.org", "a.example.org"],
    [".example.org", "a.example.org"],
    [".example.org", "example.org"],
    ["*.example.org", "a.example.org"],
    ["EXAMPLE.org.", "a.Example.Org."],
    ["x y\texample.org", "example.org"],
    ["example.org:7070", "example.org"],
    ["10.1.2.3", "10.1.2.3"],
    ["10.1.2.3:7070", "10.1.2.3"],
    ["10.0.0.0/8", "10.1.2.3"],
    ["10.0.0.0/8", "::ffff:10.1.2.3"],
    ["0.0.0.0/0", "192.0.2.1"],
    ["2001:db8::/32", "2001:db8::1"],
    ["[2001:db8::1]", "2001:db8:0::1"],
    ["[2001:db8::1]:7070", "2001:db8::1"],
    ["2001:db8::1", "2001:DB8::1"],
  ])("%j names %s", (list, host) => {
    expect(isExempt({ host, port: 7070 }, list)).toBe(true);
  });

  it.each([
    ["", "example.org"],
    [" , ", "example.org"],
    [".", "example.org"],
    ["ample.org", "example.org"],
    ["a.example.org", "example.org"],
    ["example.org:80", "example.org"],
    ["10.1.2.3:80", "10.1.2.3"],
    ["10.1.2", "10.1.2.3"],
    ["10.0.0.0/8", "11.1.2.3"],
    ["10.0.0.0/99", "10.1.2.3"],
    ["10.0.0.0/8", "10.example.org"],
    ["2001:db8::/32", "2001:db9::1"],
    ["*x", "x"],
  ])("%j does not name %s", (list, host) => {
    expect(isExempt({ host, port: 7070 }, list)).toBe(false);
  });
});

import { describe, expect, it } from "vitest";
import { hostAndPort, parseTrackerAddresses } from "../../../src/base/network/tracker-address.ts";

describe("a tracker's address", () => {
  it.each([
    ["http://127.0.0.1:7070", { kind: "tcp", host: "127.0.0.1", port: 7070, tls: false, local: true }],
    ["http://localhost", { kind: "tcp", host: "localhost", port: 80, tls: false, local: true }],
    ["https://tracker.example", { kind: "tcp", host: "tracker.example", port: 443, tls: true, local: false }],
    ["http://127.example.org:1", { kind: "tcp", host: "127.example.org", port: 1, tls: false, local: false }],
    ["http://[::1]:7070/", { kind: "tcp", host: "::1", port: 7070, tls: false, local: true }],
    ["HTTPS://A:7070", { kind: "tcp", host: "a", port: 7070, tls: true, local: false }],
    ["http://0.0.0.0:1", { kind: "tcp", host: "0.0.0.0", port: 1, tls: false, local: true }],
    ["unix:/run/belay.sock", { kind: "unix", path: "/run/belay.sock", tls: false, local: true }],
    ["unix:///run/belay.sock", { kind: "unix", path: "/run/belay.sock", tls: false, local: true }],
  ])("%s is understood", (text, address) => {
    expect(parseTrackerAddresses(text)).toEqual([{ text, ...address }]);
  });

  it("may be several", () => {
    const addresses = parseTrackerAddresses("http://a:1, https://b,unix:/c");
    expect(addresses.map(({ text }) => text)).toEqual(["http://a:1", "https://b", "unix:/c"]);
  });

  it.each([
    ["localhost:7070", `Cannot use --tracker "localhost:7070": it has no scheme; expected http://host:port`],
    ["grpc://a:1", `scheme "grpc" is not known`],
    ["http://", "it is not a URL"],
    ["http://a:99999", "it is not a URL"],
    ["http://a:1/path", "it has more than host and port"],
    ["http://user:secret@a:1", "credentials belong in --token-file"],
    ["unix:relative", "the socket's path must be absolute"],
    ["", "it is empty"],
    ["http://a:1,", "it is empty"],
  ])("%j is refused with the reason", (text, message) => {
    expect(() => parseTrackerAddresses(text)).toThrow(message);
  });

  it("is named in errors as the user wrote it", () => {
    expect(() => parseTrackerAddresses("x", "tracker")).toThrow('Cannot use tracker "x"');
  });
});

it.each([
  ["a", "a:1"],
  ["127.0.0.1", "127.0.0.1:1"],
  ["::1", "[::1]:1"],
])("%s and a port are written %s", (host, text) => {
  expect(hostAndPort({ host, port: 1 })).toBe(text);
});
